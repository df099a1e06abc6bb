"""Did it get faster? Two runs of the same configurations, as ratios with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ultraface_deploy.bench.result import BenchReport, Measurement, Stage
from ultraface_deploy.bench.statistics import ratio_interval, undisturbed
from ultraface_deploy.errors import InputError

Verdict = Literal["faster", "slower", "no difference shown"]

# Two runs of the same files differ by up to this much on a shared machine: memory lands elsewhere,
# neighbours come and go (see benchmarks/trust.py). Smaller differences are not called, however
# narrow their interval.
RESOLUTION = 0.05


@dataclass(frozen=True)
class Difference:
    """One configuration in both runs.

    `ratio` is after / before of the undisturbed times (see `statistics.undisturbed`), with its
    95 % confidence interval; the medians are given besides.
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
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def compare(
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
        ignore: of `machine`, `artifact`, `input`: what may differ although it makes the runs
            different experiments.

    Returns:
        The differences, in the order of `after`.

    Raises:
        InputError: the runs cannot be compared; says what differs and how to compare all the same.
    """
    if "machine" not in ignore:
        _require_same_machine(before, after)
    earlier = {_key(m, ignore): m for m in before.measurements}
    pairs = [(earlier.get(_key(m, ignore)), m) for m in after.measurements]
    both = [(old, new) for old, new in pairs if old is not None]
    if not both:
        raise InputError(
            "the two results have no configuration in common: "
            f"{_titles(before)} against {_titles(after)}; "
            "other input sizes are compared with --ignore input"
        )
    for old, new in both:
        if "artifact" not in ignore and _artifact(old) != _artifact(new):
            raise InputError(
                f"{new.title}: the two runs timed different files; "
                "compare them all the same with --ignore artifact"
            )
    return [difference(old, new, stage) for old, new in both]


def difference(before: Measurement, after: Measurement, stage: Stage = "inference") -> Difference:
    """Compare two measurements of one configuration."""
    old, new = before.samples(stage), after.samples(stage)
    ratio, low, high = ratio_interval(old, new)
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
        verdict=verdict(ratio, low, high),
    )


def verdict(ratio: float, low: float, high: float) -> Verdict:
    """Name a difference only when its interval excludes 1 and it is above the resolution."""
    if low > 1 and ratio > 1 + RESOLUTION:
        return "slower"
    if high < 1 and ratio < 1 / (1 + RESOLUTION):
        return "faster"
    return "no difference shown"


def _require_same_machine(before: BenchReport, after: BenchReport) -> None:
    for name in ("hostname", "cpu", "allowed_cores"):
        old, new = before.machine.get(name), after.machine.get(name)
        if old != new:
            raise InputError(
                f"the two results come from different machines ({name}: {old} and {new}); "
                "compare them all the same with --ignore machine"
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
