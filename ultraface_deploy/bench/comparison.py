"""Did it get faster? Two runs of the same configurations, as ratios with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ultraface_deploy.bench.measurement import Measurement, Stage
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.statistics import (
    median_ratio_interval,
    ratio_interval,
    undisturbed,
)
from ultraface_deploy.errors import InputError

Verdict = Literal["faster", "slower", "no difference shown"]
NONE_SHOWN: Verdict = "no difference shown"

# Two runs of the same files differ by up to this much on a shared machine: memory lands elsewhere,
# neighbours come and go (see benchmarks/trust.py). Smaller differences are not called, however
# narrow their interval.
RESOLUTION = 0.05
# The medians of equal runs have differed by up to 9 % there.
MEDIAN_RESOLUTION = 0.15


@dataclass(frozen=True)
class Difference:
    """One configuration in both runs.

    `ratio` is after / before of the undisturbed times (see `statistics.undisturbed`), with its
    95 % confidence interval. A path that is only slow at times leaves these alone: `median_ratio`
    is that of the medians of all samples that were not interrupted, None where most were. The
    verdict follows from `ratio`; where that shows no difference, from `median_ratio`, with a
    coarser resolution, and `by_median` says so.
    """

    configuration: str
    stage: Stage
    before_ms: float
    after_ms: float
    before_median_ms: float
    after_median_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    median_ratio: float | None
    by_median: bool
    verdict: Verdict

    @property
    def shown_ratio(self) -> float:
        """The ratio that the verdict rests on."""
        return self.median_ratio if self.by_median and self.median_ratio else self.ratio


def compare_reports(
    before: BenchReport,
    after: BenchReport,
    stage: Stage = "inference",
    ignore: frozenset[str] = frozenset(),
) -> list[Difference]:
    """Compare every configuration that both runs hold.

    Args:
        before: the earlier run.
        after: the later run.
        stage: what to compare.
        ignore: of `machine`, `artifact`, `input`, `image`: what may differ although it makes the
            runs different experiments.

    Returns:
        The differences, in the order of `after`.

    Raises:
        InputError: the runs cannot be compared; says what differs and how to compare anyway.
    """
    if "machine" not in ignore:
        _require_same_machine(before, after)
    if "image" not in ignore and stage != "inference":
        _require_same_image(before, after)
    earlier = {_key(m, ignore): m for m in before.measurements}
    if len(earlier) < len(before.measurements):
        raise InputError(
            "the earlier result holds a configuration more than once; "
            "give results of one input size each for `ignore` input"
        )
    pairs = [(earlier.get(_key(m, ignore)), m) for m in after.measurements]
    both = [(old, new) for old, new in pairs if old is not None]
    if not both:
        raise InputError(
            "the two results have no configuration in common: "
            f"{_titles(before)} against {_titles(after)}; "
            "compare other input sizes with `ignore` input; those of other `cores` cannot be"
        )
    for old, new in both:
        if "artifact" not in ignore and _artifact(old) != _artifact(new):
            raise InputError(
                f"{new.title}: the two runs timed different files; "
                "compare them anyway with `ignore` artifact"
            )
    return [difference(old, new, stage) for old, new in both]


def difference(before: Measurement, after: Measurement, stage: Stage = "inference") -> Difference:
    """Compare two measurements of one configuration."""
    old, new = before.samples(stage), after.samples(stage)
    ratio, low, high = ratio_interval(old, new)
    usual_old, usual_new = before.uninterrupted(stage), after.uninterrupted(stage)
    by_fastest = found = verdict(ratio, low, high)
    median_ratio = None
    if usual_old is not None and usual_new is not None:
        medians = median_ratio_interval(usual_old, usual_new)
        median_ratio = round(medians[0], 4)
        if found == NONE_SHOWN:
            found = verdict(*medians, MEDIAN_RESOLUTION)
    return Difference(
        configuration=after.title,
        stage=stage,
        before_ms=round(undisturbed(old), 4),
        after_ms=round(undisturbed(new), 4),
        before_median_ms=before.row(stage).median_ms,
        after_median_ms=after.row(stage).median_ms,
        ratio=round(ratio, 4),
        ratio_low=round(low, 4),
        ratio_high=round(high, 4),
        median_ratio=median_ratio,
        by_median=found != by_fastest,
        verdict=found,
    )


def verdict(ratio: float, low: float, high: float, resolution: float = RESOLUTION) -> Verdict:
    """Name a difference only when its interval excludes 1 and it is above the resolution."""
    if low > 1 and ratio > 1 + resolution:
        return "slower"
    if high < 1 and ratio < 1 / (1 + resolution):
        return "faster"
    return NONE_SHOWN


def not_in_both(
    before: BenchReport, after: BenchReport, ignore: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Return what was timed only earlier, with why if the later run says it, and only later."""
    old = {_key(m, ignore): m.title for m in before.measurements}
    new = {_key(m, ignore): m.title for m in after.measurements}
    reasons = {
        (f.host, f.model, f.backend, f.precision, f.threads): f.reason for f in after.failures
    }
    lost = []
    for m in before.measurements:
        if _key(m, ignore) not in new:
            reason = reasons.get((m.host, m.model, m.backend, m.precision, m.threads))
            lost.append(m.title + (f": {reason}" if reason else ""))
    return lost, [title for key, title in new.items() if key not in old]


def _require_same_machine(before: BenchReport, after: BenchReport) -> None:
    for host in before.machines.keys() & after.machines.keys() or [None]:
        earlier, later = (
            report.machine if host is None else report.machines[host] for report in (before, after)
        )
        for name in ("hostname", "cpu", "allowed_cores"):
            if earlier.get(name) != later.get(name):
                raise InputError(
                    f"the two results come from different machines ({name}: {earlier.get(name)} "
                    f"and {later.get(name)}); compare them anyway with `ignore` machine"
                )


def _require_same_image(before: BenchReport, after: BenchReport) -> None:
    if before.settings.get("image_sha256") != after.settings.get("image_sha256"):
        raise InputError(
            "the two results were timed on different photographs, which only the stage inference "
            "does not see; compare them anyway with `ignore` image"
        )


def _key(measurement: Measurement, ignore: frozenset[str]) -> tuple[object, ...]:
    m = measurement
    size = None if "input" in ignore else m.input
    return (m.host, m.model, size, m.backend, m.precision, m.threads, tuple(m.cores))


def _artifact(measurement: Measurement) -> tuple[str, ...]:
    return tuple(sorted(measurement.sha256.values()))


def _titles(report: BenchReport) -> str:
    return _shortened(m.title for m in report.measurements)


def _shortened(titles: Iterable[str]) -> str:
    names = list(titles)
    return (
        "; ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "") or "none"
    )
