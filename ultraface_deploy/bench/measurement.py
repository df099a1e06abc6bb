"""One configuration as it was measured: raw samples, and the rows computed from them."""

# Tested by tests/bench/test_result.py.

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

import msgspec
import numpy as np

from ultraface_deploy.bench.statistics import Launches, Samples, median_interval, pooled
from ultraface_deploy.safe.records import Amount, Natural, Positive, Strict

Stage = Literal["preprocess", "inference", "postprocess", "end_to_end"]
STAGES: tuple[Stage, ...] = get_args(Stage)
_MEASURED = ("preprocess", "inference", "postprocess")
Times = Annotated[
    list[Annotated[float, msgspec.Meta(gt=0)]], msgspec.Meta(min_length=1, description="us")
]


@dataclass(frozen=True)
class Round(Strict):
    """Consecutive samples of one configuration: microseconds of each stage of each.

    `preempted` are the indices of the samples during which the kernel took a core away.
    `energy_uj` is what the board's meters counted over the round, None where it has none; it
    includes `settling` inferences before the first sample.
    """

    preprocess: Times
    inference: Times
    postprocess: Times
    preempted: list[Natural]
    energy_uj: Amount | None = None
    settling: Natural = 0

    def __post_init__(self) -> None:
        count = len(self.inference)
        if not len(self.preprocess) == len(self.postprocess) == count:
            raise ValueError("each sample needs a time for each stage")
        if not all(index < count for index in self.preempted):
            raise ValueError("an index of preempted is beyond the samples")

    def milliseconds(self, stage: Stage) -> Samples:
        """Return the samples of a stage in ms; end to end is the sum of the three."""
        stages = _MEASURED if stage == "end_to_end" else (stage,)
        total: Samples = np.sum([getattr(self, name) for name in stages], axis=0) / 1000
        return total


@dataclass(frozen=True)
class Launch(Strict):
    """One process that ran a configuration: its start, its memory, its rounds.

    `stable` says whether its times had stopped changing when the warm-up ended.
    """

    cold_start_ms: Amount
    peak_rss_mb: Amount
    rounds: Annotated[list[Round], msgspec.Meta(min_length=1)]
    stable: bool = True


@dataclass(frozen=True)
class Row:
    """One stage of one configuration; times in milliseconds, `fps` = 1000 / median.

    `ci_low_ms` to `ci_high_ms` is the 95 % confidence interval of the median.
    """

    model: str
    input: str
    artifact: str
    backend: str
    precision: str
    threads: int
    stage: Stage
    samples: int
    min_ms: float
    median_ms: float
    ci_low_ms: float
    ci_high_ms: float
    mean_ms: float
    p90_ms: float
    p99_ms: float
    fps: float
    cold_start_ms: float
    energy_mj: float | None
    peak_rss_mb: float
    model_bytes: int
    warnings: tuple[str, ...]
    host: str | None = None


@dataclass(frozen=True)
class Measurement(Strict):
    """Everything measured of one configuration.

    `sha256` maps the artifact's files to their digests, `source` says which checkpoint they come
    from, `cores` lists the cores it was pinned to, `verification` is the comparison with the
    original network that preceded the last launch's samples; empty of a single file that could be
    compared with nothing, which a warning says too.
    """

    model: str
    folder: str
    width: Positive
    height: Positive
    artifact: str
    backend: str
    backend_version: str | None
    precision: str
    threads: Positive
    cores: list[Natural]
    sha256: dict[str, str]
    source_sha256: str
    model_bytes: Natural
    verification: dict[str, Any]
    launches: Annotated[list[Launch], msgspec.Meta(min_length=1)]
    warnings: list[str] = field(default_factory=list)
    host: str | None = None

    @property
    def input(self) -> str:
        """Input size as `320x240`."""
        return f"{self.width}x{self.height}"

    @property
    def title(self) -> str:
        """Name in tables and messages."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = f", on {self.host}" if self.host else ""
        return f"{self.model} {self.input}, {self.backend} {self.precision}, {threads}{where}"

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What makes two measurements the same configuration."""
        return (self.host, self.model, self.input, self.backend, self.precision, self.threads)

    def samples(self, stage: Stage) -> Launches:
        """Return the milliseconds of a stage, per launch and round."""
        return [[r.milliseconds(stage) for r in launch.rounds] for launch in self.launches]

    def uninterrupted(self, stage: Stage) -> Launches | None:
        """Return the samples during which no core was taken away; None where most were hit."""
        if self.preempted_share > 0.5:
            return None
        launches = [
            [
                np.delete(r.milliseconds(stage), r.preempted)
                for r in launch.rounds
                if len(r.preempted) < len(r.inference)
            ]
            for launch in self.launches
        ]
        return [rounds for rounds in launches if rounds]

    @property
    def preempted_share(self) -> float:
        """Share of the samples during which the process lost a core."""
        rounds = [r for launch in self.launches for r in launch.rounds]
        return sum(len(r.preempted) for r in rounds) / sum(len(r.inference) for r in rounds)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One row per stage."""
        return tuple(self._row(stage) for stage in STAGES)

    def row(self, stage: Stage) -> Row:
        """Return the row of a stage."""
        return self.rows[STAGES.index(stage)]

    def _row(self, stage: Stage) -> Row:
        launches = self.samples(stage)
        values = pooled(launches)
        low, high = median_interval(launches)
        median, p90, p99 = (float(v) for v in np.quantile(values, [0.5, 0.9, 0.99]))
        times = {
            "min_ms": float(values.min()),
            "median_ms": median,
            "ci_low_ms": min(low, median),
            "ci_high_ms": max(high, median),
            "mean_ms": float(values.mean()),
            "p90_ms": p90,
            "p99_ms": p99,
        }
        return Row(
            model=self.model,
            input=self.input,
            artifact=self.artifact,
            backend=self.backend,
            precision=self.precision,
            threads=self.threads,
            stage=stage,
            samples=len(values),
            **{name: round(value, 4) for name, value in times.items()},
            fps=round(1000 / median, 1),
            cold_start_ms=round(float(np.median([la.cold_start_ms for la in self.launches])), 1),
            energy_mj=self._energy_mj() if stage == "end_to_end" else None,
            peak_rss_mb=max(launch.peak_rss_mb for launch in self.launches),
            model_bytes=self.model_bytes,
            warnings=tuple(self.warnings),
            host=self.host,
        )

    def _energy_mj(self) -> float | None:
        rounds = [r for launch in self.launches for r in launch.rounds]
        metered = [
            (r.energy_uj, len(r.inference) + r.settling) for r in rounds if r.energy_uj is not None
        ]
        if not metered:
            return None
        energy = sum(energy for energy, _ in metered)
        return round(energy / sum(count for _, count in metered) / 1000, 3)
