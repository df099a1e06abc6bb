"""What a benchmark found: raw samples, the rows computed from them, and their JSON form."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ultraface_deploy.bench.statistics import Launches, Samples, median_interval, pooled
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import build

SCHEMA = 1
Stage = Literal["preprocess", "inference", "postprocess", "end_to_end"]
STAGES: tuple[Stage, ...] = get_args(Stage)
_MEASURED = ("preprocess", "inference", "postprocess")


@dataclass(frozen=True)
class Round:
    """Consecutive samples of one configuration: microseconds of each stage of each.

    `preempted` are the indices of the samples during which the kernel took a core away.
    `energy_uj` is what the board's meters counted over the round, None where it has none; it
    includes `settling` inferences before the first sample.
    """

    preprocess: list[float]
    inference: list[float]
    postprocess: list[float]
    preempted: list[int]
    energy_uj: float | None = None
    settling: int = 0

    def milliseconds(self, stage: Stage) -> Samples:
        """Return the samples of a stage in ms; end to end is the sum of the three."""
        stages = _MEASURED if stage == "end_to_end" else (stage,)
        total: Samples = np.sum([getattr(self, name) for name in stages], axis=0) / 1000
        return total


@dataclass(frozen=True)
class Launch:
    """One process that ran a configuration: its start, its memory, its rounds.

    `stable` says whether its times had stopped changing when the warm-up ended.
    """

    cold_start_ms: float
    peak_rss_mb: float
    rounds: list[Round]
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
class Measurement:
    """Everything measured of one configuration.

    `sha256` maps the artifact's files to their digests, `source` says which checkpoint they come
    from, `cores` lists the cores it was pinned to, `verification` is the comparison with the
    original network that preceded the last launch's samples.
    """

    model: str
    folder: str
    width: int
    height: int
    artifact: str
    backend: str
    backend_version: str | None
    precision: str
    threads: int
    cores: list[int]
    sha256: dict[str, str]
    source_sha256: str
    model_bytes: int
    verification: dict[str, Any]
    launches: list[Launch]
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


@dataclass(frozen=True)
class Failure:
    """A configuration that was not timed, and why."""

    model: str
    artifact: str
    backend: str
    precision: str
    threads: int
    reason: str
    host: str | None = None


@dataclass(frozen=True)
class BenchReport:
    """One run of the benchmark, or several hosts' runs put together.

    `machine` describes the (first) machine, see `machine.describe`; `machines` every host's.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()
    machines: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def rows(self, stage: Stage | None = None) -> list[Row]:
        """Return the rows of all configurations, of one stage or of all four."""
        rows = [row for measurement in self.measurements for row in measurement.rows]
        return [row for row in rows if stage is None or row.stage == stage]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: rows to read, and the samples they were computed from."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "machines": dict(self.machines),
            "settings": self.settings,
            "results": [asdict(row) for row in self.rows()],
            "failures": [asdict(failure) for failure in self.failures],
            "measurements": [asdict(measurement) for measurement in self.measurements],
        }

    def to_json(self) -> str:
        """Return the JSON text, with each list of samples on one line."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        return re.sub(r"\[[-\d.,\s]+\]", lambda m: re.sub(r"\s+", " ", m[0]), text) + "\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BenchReport:
        """Read what `to_dict` wrote; the rows are computed again.

        Raises:
            InputError: it is not a benchmark result, or a damaged one.
        """
        try:
            if data["schema"] != SCHEMA:
                raise InputError(f"schema {data['schema']!r} is not {SCHEMA}; run bench again")
            machine = dict(data["machine"])
            if missing := {"hostname", "cpu", "cores"} - machine.keys():
                raise ValueError(f"no {missing.pop()} of the machine")
            return cls(
                machine=machine,
                settings=dict(data["settings"]),
                measurements=tuple(_measurement(record) for record in data["measurements"]),
                failures=tuple(build(Failure, record) for record in data["failures"]),
                machines={host: dict(facts) for host, facts in data.get("machines", {}).items()},
            )
        except PARSE_ERRORS as error:
            raise InputError(f"not a result of `bench --json` ({error!r})") from error

    @classmethod
    def load(cls, path: str | Path) -> BenchReport:
        """Read a file that `bench --json` wrote.

        Raises:
            InputError: there is no such file, or it holds something else.
        """
        require_file(Path(path), "result of bench --json", Limit.TEXT)
        try:
            return cls.from_dict(json.loads(read_text(Path(path))))
        except (*PARSE_ERRORS, InputError) as error:
            raise InputError(f"{path}: {error}") from error


def merged(reports: Mapping[str, BenchReport], failures: Sequence[Failure] = ()) -> BenchReport:
    """Put the reports of several hosts into one, every row marked with its host.

    Args:
        reports: by host.
        failures: of hosts that have no report.
    """
    first = next(iter(reports.values()))
    return BenchReport(
        machine=first.machine,
        settings=first.settings,
        measurements=tuple(_of_hosts((h, r.measurements) for h, r in reports.items())),
        failures=(*_of_hosts((h, r.failures) for h, r in reports.items()), *failures),
        machines={host: report.machine for host, report in reports.items()},
    )


def _of_hosts(found: Iterable[tuple[str, Sequence[Any]]]) -> Iterator[Any]:
    return (replace(item, host=host) for host, items in found for item in items)


def _measurement(record: Mapping[str, Any]) -> Measurement:
    measurement = build(Measurement, record)
    launches = measurement.launches
    if not launches or not all(launch.rounds for launch in launches):
        raise ValueError("a measurement without samples")
    if not all(_sound(samples) for launch in launches for samples in launch.rounds):
        raise ValueError("samples that do not fit together")
    return measurement


def _sound(samples: Round) -> bool:
    """Whether each sample has a time for each stage, and the preempted ones are of them."""
    stages = [getattr(samples, name) for name in _MEASURED]
    count = len(samples.inference)
    return (
        count > 0
        and all(len(stage) == count for stage in stages)
        and all(0 < value < math.inf for stage in stages for value in stage)
        and all(0 <= index < count for index in samples.preempted)
    )
