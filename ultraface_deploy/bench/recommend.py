"""The fastest verified configuration that keeps to given limits, and the command that uses it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ultraface_deploy.bench.accuracy import SETS, Accuracies
from ultraface_deploy.bench.measurement import Measurement
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.errors import CheckFailed, InputError


@dataclass(frozen=True)
class Limits:
    """What a configuration must keep to; None for no limit.

    `max_ms` bounds the median end-to-end time, `min_ap` the AP of the WIDER FACE set `ap_set`.
    """

    max_ms: float | None = None
    max_cores: int | None = None
    min_ap: float | None = None
    ap_set: str = "hard"

    def violation(self, measurement: Measurement, accuracies: Accuracies | None) -> str | None:
        """Say which limit a configuration breaks; None where it keeps to all."""
        if not measurement.verification:
            return "is unverified"
        median = measurement.row("end_to_end").median_ms
        if self.max_ms is not None and median > self.max_ms:
            return f"takes {median:.2f} ms, more than {self.max_ms:g}"
        if self.max_cores is not None and measurement.threads > self.max_cores:
            return f"uses {measurement.threads} cores, more than {self.max_cores}"
        if self.min_ap is None:
            return None
        known = accuracies.of(measurement) if accuracies else None
        if known is None or self.ap_set not in known:
            return "its accuracy is not in the eval file"
        if known[self.ap_set] < self.min_ap:
            return f"has {self.ap_set} AP {known[self.ap_set]:.3f}, less than {self.min_ap:g}"
        return None


@dataclass(frozen=True)
class Recommendation:
    """The chosen configuration and how to run it."""

    measurement: Measurement
    command: str


def parse_min_ap(text: str) -> tuple[str, float]:
    """Read `0.45` (hard) or `easy:0.77` as the set and the AP.

    Raises:
        InputError: it is neither.
    """
    name, separator, value = text.rpartition(":")
    name = name if separator else "hard"
    try:
        wanted = float(value)
    except ValueError:
        wanted = -1.0
    if name not in SETS or not 0 <= wanted <= 1:
        raise InputError(f"`min_ap` {text!r}: give an AP such as 0.45 (hard) or easy:0.77")
    return name, wanted


def recommend(
    report: BenchReport, limits: Limits, accuracies: Accuracies | None = None
) -> Recommendation:
    """Return the configuration with the least median end-to-end time within the limits.

    Single files that could be compared with nothing are no candidates.

    Raises:
        CheckFailed: none stays within the limits; names the one nearest to the limits.
        InputError: an AP is asked for without the result of an evaluation.
    """
    if limits.min_ap is not None and accuracies is None:
        raise InputError(
            "`min_ap` needs the accuracy: give `eval`, a JSON result of the command eval"
        )
    if not report.measurements:
        raise CheckFailed("nothing was timed, so nothing can be recommended")
    fastest_first = sorted(report.measurements, key=lambda m: m.row("end_to_end").median_ms)
    for measurement in fastest_first:
        if limits.violation(measurement, accuracies) is None:
            return Recommendation(measurement, command_for(measurement))
    nearest = fastest_first[0]
    raise CheckFailed(
        f"no configuration stays within the limits; the fastest, {nearest.title}, "
        f"{limits.violation(nearest, accuracies)}"
    )


def command_for(measurement: Measurement) -> str:
    """Return the command that finds faces with this configuration."""
    m = measurement
    words: Sequence[str] = ("ultraface-deploy", "detect", "SOURCE", "--model", m.folder)
    options = ("--backend", m.backend, "--precision", m.precision, "--threads", str(m.threads))
    return shlex.join((*words, *options))
