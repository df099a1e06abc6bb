"""The plots of a report; one function a plot, None where the figures for it are not there."""

# Tested by tests/bench/test_html.py.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ultraface_deploy.agreement.precision import PRECISIONS
from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.measurement import Measurement
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.statistics import pooled
from ultraface_deploy.bench.tables import labels
from ultraface_deploy.pages.plots import COLOURS, HATCHES, LINES, MARKERS, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figures(report: BenchReport, accuracies: Accuracies | None = None) -> dict[str, Figure]:
    """Return the plots that the report has figures for, by name.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    measured = report.measurements
    found = {
        "latency": latency(measured),
        "speedup": speedup(measured),
        "distribution": distribution(measured),
        "size": size(measured),
    }
    if accuracies is not None:
        found["accuracy"] = accuracy(measured, accuracies)
    return {name: figure for name, figure in found.items() if figure is not None}


def latency(measured: Sequence[Measurement]) -> Figure | None:
    """Median inference with its confidence interval: bars, or lines over several thread counts."""
    if not measured:
        return None
    if len({m.threads for m in measured}) == 1:
        return _latency_bars(measured)
    figure, axes = new_figure(0.75, "threads", "median inference (ms)")
    looks = _looks(measured)
    for label, group in _by_artifact(measured).items():
        medians, bars = _intervals(group)
        look = looks(group[0])
        axes.errorbar(
            [m.threads for m in group],
            medians,
            yerr=bars,
            capsize=3,
            label=label,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
        )
    axes.set_ylim(bottom=0)
    _whole_numbers(axes, measured)
    legend(figure)
    return figure


def _latency_bars(measured: Sequence[Measurement]) -> Figure:
    """One bar per configuration, the fastest on top, with the figure beside it."""
    ordered = sorted(measured, key=lambda m: m.row("inference").median_ms, reverse=True)
    figure, axes = new_figure(0.2 + 0.08 * len(ordered), "median inference (ms)", "")
    label, looks = _labels(measured), _looks(measured)
    medians, bars = _intervals(ordered)
    places = range(len(ordered))
    for place, m, median, error in zip(places, ordered, medians, bars.T, strict=True):
        look = looks(m)
        axes.barh(
            place,
            median,
            xerr=error[:, None],
            capsize=3,
            color=look.colour,
            hatch=look.hatch,
            edgecolor="white",
            ecolor="black",
        )
        axes.text(median + error[1], place, f"  {median:.2f}", va="center", fontsize="small")
    axes.set_yticks(list(places), [label(m) for m in ordered], fontsize="small")
    axes.set_title(f"{ordered[0].threads} thread{'s' * (ordered[0].threads > 1)}", fontsize="small")
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    return figure


def _intervals(group: Sequence[Measurement]) -> tuple[np.ndarray, np.ndarray]:
    """Return medians (N,) and how far their intervals reach below and above, (2, N), in ms."""
    rows = [m.row("inference") for m in group]
    medians = np.array([row.median_ms for row in rows])
    low = medians - np.array([row.ci_low_ms for row in rows])
    high = np.array([row.ci_high_ms for row in rows]) - medians
    return medians, np.stack([low, high])


def speedup(measured: Sequence[Measurement]) -> Figure | None:
    """How many times faster N threads are than one, against N times."""
    groups = {
        label: group
        for label, group in _by_artifact(measured).items()
        if len(group) > 1 and group[0].threads == 1
    }
    if not groups:
        return None
    figure, axes = new_figure(0.75, "threads", "speed-up over one thread")
    most = max(m.threads for group in groups.values() for m in group)
    axes.plot([1, most], [1, most], color="gray", linestyle="--", label="ideal")
    looks = _looks(measured)
    for label, group in groups.items():
        medians = [m.row("inference").median_ms for m in group]
        look = looks(group[0])
        axes.plot(
            [m.threads for m in group],
            [medians[0] / ms for ms in medians],
            label=label,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
        )
    _whole_numbers(axes, measured)
    legend(figure)
    return figure


def distribution(measured: Sequence[Measurement]) -> Figure | None:
    """Where the samples of an inference lie: quartiles, and whiskers at 1 and 99 %."""
    if not measured:
        return None
    figure, axes = new_figure(
        0.25 + 0.08 * len(measured), "inference (ms): quartiles, whiskers at 1 and 99 %", ""
    )
    label = _labels(measured)
    samples = [pooled(m.samples("inference")) for m in reversed(measured)]
    axes.boxplot(samples, whis=(1, 99), showfliers=False, orientation="horizontal")
    axes.set_yticklabels([f"{label(m)} x{m.threads}" for m in reversed(measured)], fontsize="small")
    axes.set_xlim(left=0)
    return figure


def size(measured: Sequence[Measurement]) -> Figure | None:
    """Bytes of the artifacts."""
    groups = _by_artifact(measured)
    if not groups:
        return None
    figure, axes = new_figure(0.2 + 0.08 * len(groups), "model (kB)", "")
    looks = _looks(measured)
    for label, group in reversed(groups.items()):
        look, kilobytes = looks(group[0]), group[0].model_bytes / 1000
        bars = axes.barh(label, kilobytes, color=look.colour, hatch=look.hatch, edgecolor="white")
        axes.bar_label(bars, fmt="%.0f", padding=3, fontsize="small")
    axes.tick_params(axis="y", labelsize="small")
    return figure


def accuracy(measured: Sequence[Measurement], accuracies: Accuracies) -> Figure | None:
    """AP on the hard set over median inference, one thread count a point."""
    known = [(m, aps["hard"]) for m in measured if (aps := accuracies.of(m)) and "hard" in aps]
    if not known:
        return None
    figure, axes = new_figure(0.75, "median inference (ms)", "AP, WIDER FACE hard")
    label, looks = _labels(measured), _looks(measured)
    for m, ap in known:
        x = m.row("inference").median_ms
        axes.plot(x, ap, looks(m).marker, color=looks(m).colour)
        axes.annotate(
            f" {label(m)} x{m.threads}", (x, ap), fontsize="small", rotation=20, va="bottom"
        )
    axes.set_xlim(left=0)
    axes.margins(0.2)
    return figure


class _Look(NamedTuple):
    colour: str
    marker: str
    line: str
    hatch: str


def _looks(measured: Sequence[Measurement]) -> Callable[[Measurement], _Look]:
    """One colour and marker per runtime, one line and hatching per precision."""
    runtimes = sorted({m.backend for m in measured})

    def look(m: Measurement) -> _Look:
        runtime = runtimes.index(m.backend) % len(COLOURS)
        kind = [*map(str, PRECISIONS)].index(m.precision) % len(LINES)
        return _Look(COLOURS[runtime], MARKERS[runtime], LINES[kind], HATCHES[kind])

    return look


def _labels(measured: Sequence[Measurement]) -> Callable[[Measurement], str]:
    """Return what names each: as it is, for `$` would begin a formula."""
    label = labels(measured)
    return lambda measurement: label(measurement).replace("$", r"\$")


def _whole_numbers(axes: Axes, measured: Sequence[Measurement]) -> None:
    axes.set_xticks(sorted({m.threads for m in measured}))


def _by_artifact(measured: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Group what differs in nothing but the number of threads, fewest first."""
    groups: defaultdict[str, list[Measurement]] = defaultdict(list)
    label = _labels(measured)
    for m in sorted(measured, key=lambda m: m.threads):
        groups[label(m)].append(m)
    return dict(groups)
