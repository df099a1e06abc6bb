"""The page of a measurement: the tables, the plots, the machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ultraface_deploy.bench.accuracy import Accuracies
from ultraface_deploy.bench.measurement import Measurement
from ultraface_deploy.bench.plots import figures
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.tables import machine_line, warnings_of
from ultraface_deploy.pages.page import escape, facts, page, picture, section, table
from ultraface_deploy.pages.plots import render
from ultraface_deploy.safe.text import counted

_CAPTIONS = {
    "latency": "Latency per thread count",
    "speedup": "Speed-up against ideal",
    "distribution": "Distribution of the samples",
    "accuracy": "Accuracy against latency",
    "size": "Model size",
}


def to_html(report: BenchReport, accuracies: Accuracies | None = None) -> str:
    """Return the page.

    Args:
        report: what was measured.
        accuracies: AP to set against latency, None for a page without.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    plots = figures(report, accuracies)
    return page(
        f"Latency on {machine_line(report)}",
        f"<p>{escape(_summary(report))}</p>",
        _failures(report),
        section("Latency", _latency_table(report, accuracies), _warnings(report)),
        *(
            section(_CAPTIONS[name], picture(_CAPTIONS[name], render(figure, "svg")))
            for name, figure in plots.items()
        ),
        section("Stages", _stages_table(report)),
        section("Machine", *_machines(report)),
        section("Settings", facts(report.settings)),
    )


def _summary(report: BenchReport) -> str:
    if not report.measurements:
        return "Nothing was timed."
    fastest = min(report.measurements, key=lambda m: m.row("end_to_end").median_ms)
    row = fastest.row("end_to_end")
    timed = counted(len(report.measurements), "configuration")
    return (
        f"{timed}, each verified against the original network "
        f"before it was timed. The fastest end to end: {fastest.title}, "
        f"{row.median_ms:.2f} ms, {row.fps:.0f} images per second."
    )


def _latency_table(report: BenchReport, accuracies: Accuracies | None) -> str:
    headings = ["configuration", "median ms", "95 % interval", "p90", "p99", "end to end", "fps"]
    headings += ["cold start", "memory (MiB)", "model (kB)"]
    metered = any(m.row("end_to_end").energy_mj is not None for m in report.measurements)
    if metered:
        headings.append("energy (mJ)")
    if accuracies is not None:
        headings.append("AP hard")
    rows = []
    for m in report.measurements:
        cells = _latency_cells(m)
        if metered:
            energy = m.row("end_to_end").energy_mj
            cells.append("" if energy is None else f"{energy:.2f}")
        if accuracies is not None:
            ap = (accuracies.of(m) or {}).get("hard")
            cells.append("" if ap is None else f"{ap:.3f}")
        rows.append((_name(m), cells))
    return table(headings, rows)


def _latency_cells(m: Measurement) -> list[str]:
    inference, whole = m.row("inference"), m.row("end_to_end")
    return [
        f"{inference.median_ms:.2f}",
        f"{inference.ci_low_ms:.2f} to {inference.ci_high_ms:.2f}",
        f"{inference.p90_ms:.2f}",
        f"{inference.p99_ms:.2f}",
        f"{whole.median_ms:.2f}",
        f"{whole.fps:.0f}",
        f"{whole.cold_start_ms:.0f}",
        f"{whole.peak_rss_mb:.0f}",
        f"{m.model_bytes / 1000:.0f}",
    ]


def _stages_table(report: BenchReport) -> str:
    rows = [(_name(m), [f"{row.median_ms:.3f}" for row in m.rows]) for m in report.measurements]
    headings = ["configuration", "preprocess ms", "inference", "postprocess", "end to end"]
    return table(headings, rows)


def _name(m: Measurement) -> str:
    where = f" on {m.host}" if m.host else ""
    first = f"{m.backend} {m.precision} \N{MULTIPLICATION SIGN}{m.threads}"
    return f"{escape(first)}<small>{escape(m.model)} {escape(m.input)}{escape(where)}</small>"


def _warnings(report: BenchReport) -> str:
    items = "".join(
        f"<li>{escape(warning)}: {escape(names)}</li>"
        for warning, names in warnings_of(report).items()
    )
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _failures(report: BenchReport) -> str:
    return "".join(
        f'<p class="failed">Not timed: {escape(f.model)} {escape(f.backend)} '
        f"{escape(f.precision)}, {counted(f.threads, 'thread')}: {escape(f.reason)}</p>"
        for f in report.failures
    )


def _machines(report: BenchReport) -> Iterator[str]:
    machines: dict[str, dict[str, Any]] = report.machines or {"": report.machine}
    for name, machine in machines.items():
        yield (f"<h3>{escape(name)}</h3>" if name else "") + facts(machine)
