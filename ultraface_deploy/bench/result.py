"""What a benchmark found, and its JSON form: measurements, failures, and the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ultraface_deploy.bench.measurement import Measurement, Row, Stage
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.records import (
    SCHEMA,
    Positive,
    Strict,
    Version,
    convert,
    encode,
    plain,
    read,
)

Machine = Annotated[
    dict[str, Any], msgspec.Meta(extra_json_schema={"required": ["hostname", "cpu", "cores"]})
]


@dataclass(frozen=True)
class Failure(Strict):
    """A configuration that was not timed, and why."""

    model: str
    artifact: str
    backend: str
    precision: str
    threads: Positive
    reason: str
    host: str | None = None


@dataclass(frozen=True)
class BenchReport:
    """One run of the benchmark, or several hosts' runs put together.

    `machine` describes the (first) machine, see `machine.describe`; `machines` every host's.
    """

    machine: Machine
    settings: dict[str, Any]
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()
    machines: dict[str, Machine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for machine in (self.machine, *self.machines.values()):
            if missing := {"hostname", "cpu", "cores"} - machine.keys():
                raise ValueError(f"the machine has no {missing.pop()}")

    def rows(self, stage: Stage | None = None) -> list[Row]:
        """Return the rows of all configurations, of one stage or of all four."""
        rows = [row for measurement in self.measurements for row in measurement.rows]
        return [row for row in rows if stage is None or row.stage == stage]

    def in_file(self) -> BenchFile:
        """Return what goes into a file: rows to read, and the samples they were computed from."""
        return BenchFile(SCHEMA, self.rows(), **vars(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return plain(self.in_file())

    def to_json(self) -> str:
        """Return the JSON text, with each list of samples on one line."""
        text = encode(self.in_file())
        return re.sub(r"\[[-\d.,\s]+\]", lambda m: re.sub(r"\s+", " ", m[0]), text)

    @classmethod
    def from_dict(cls, data: Any) -> BenchReport:
        """Read what `to_dict` wrote; the rows are computed again.

        Raises:
            InputError: it is not a benchmark result, or a damaged one.
        """
        try:
            return convert(data, cls)
        except InputError as error:
            raise InputError(f"not a JSON result of bench ({error}); run bench again") from error

    @classmethod
    def load(cls, path: str | Path) -> BenchReport:
        """Read a file that `bench --json` wrote.

        Raises:
            InputError: there is no such file, or it holds something else.
        """
        return read(Path(path), cls, "JSON result of bench", "run bench again")


@dataclass(frozen=True)
class BenchFile:
    """What `bench --json` writes."""

    schema: Version
    results: list[Row]
    machine: Machine
    settings: dict[str, Any]
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...]
    machines: dict[str, Machine]


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
