"""A result to hand on: the machine, the versions and the figures, and nothing about its owner.

What is not named here does not get in: no host name, no path, no name of one's own network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ultraface_deploy import models
from ultraface_deploy.bench.measurement import Measurement
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import read_text, require_file
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import (
    SCHEMA,
    Amount,
    Natural,
    Positive,
    Version,
    convert,
    decode,
    read,
)
from ultraface_deploy.safe.text import counted

_OWN = "another network"
# The kernel's version without what its builder appended, which can name a person or a company.
_KERNEL = re.compile(r"\w+ \d+\.\d+(\.\d+)?")


@dataclass(frozen=True)
class Cores:
    """Cores of one kind: how many, and their highest frequency where the kernel shows it."""

    number: Positive
    max_mhz: float | None


@dataclass(frozen=True)
class Board:
    """What decides about speed; None where the machine does not show it."""

    board: str | None
    cpu: str
    architecture: str | None
    features: list[str]
    cores: Positive
    clusters: list[Cores]
    core_quota: float | None
    memory_mb: Natural | None
    governors: list[str]
    system: str | None
    python: str | None

    @property
    def name(self) -> str:
        """The board, or else the processor, in one phrase."""
        return self.board or f"{self.cpu}, {counted(self.cores, 'core')}"


@dataclass(frozen=True)
class Figure:
    """One configuration; times are medians in milliseconds, the interval is of 95 %.

    `model` is the name of a registered network, everything else is `another network`.
    """

    model: str
    input: str
    backend: str
    backend_version: str | None
    precision: str
    halves: bool
    threads: Positive
    inference_ms: Amount
    ci_low_ms: Amount
    ci_high_ms: Amount
    end_to_end_ms: Amount
    samples: Natural
    peak_rss_mb: Amount
    model_bytes: Natural
    warnings: list[str]


@dataclass(frozen=True)
class Submission:
    """What `bench submit` writes; `versions` are of the packages that decide about speed."""

    schema: Version
    board: Board
    versions: dict[str, str]
    figures: list[Figure]

    @classmethod
    def of(cls, report: BenchReport) -> Submission:
        """Reduce a result of the benchmark to what may be handed on.

        Raises:
            InputError: it is of several machines, holds no figures, or a damaged description.
        """
        if len(report.machines) > 1:
            raise InputError(
                f"is of several machines ({', '.join(report.machines)}); measure each by itself, "
                "with one `host`"
            )
        if not report.measurements:
            raise InputError("holds no figures: nothing could be timed; run bench again")
        described = next(iter(report.machines.values()), report.machine)
        machine = convert(described, _Machine)
        figures = [_figure(measured) for measured in report.measurements]
        return cls(SCHEMA, machine.handed_on(), machine.libraries, figures)

    @classmethod
    def load(cls, path: Path) -> Submission:
        """Read what `bench submit` wrote, or the result of `bench --json` that it is made from.

        Raises:
            InputError: there is no such file, or it holds something else; names the file.
        """
        require_file(path, "result of bench submit", Limit.TEXT)
        try:
            if decode(read_text(path), _Either).figures is not None:
                return read(path, cls, "result of bench submit", "run bench submit again")
        except InputError as error:
            if str(error).startswith(str(path)):
                raise
            said = damaged(path, "JSON result of bench", error, "run bench again")
            raise InputError(f"{path}: {said}") from error
        report = BenchReport.load(path)
        try:
            return cls.of(report)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Either:
    """A result of either kind: only a submission has figures."""

    figures: Any = None


@dataclass(frozen=True)
class _Cluster:
    cores: tuple[int, ...]
    max_mhz: float | None = None


@dataclass(frozen=True)
class _Machine:
    """What is taken of `machine.describe`."""

    cpu: str
    cores: Positive
    board: str | None = None
    architecture: str | None = None
    features: list[str] = field(default_factory=list)
    clusters: list[_Cluster] = field(default_factory=list)
    core_quota: float | None = None
    memory_mb: Natural | None = None
    governors: list[str] = field(default_factory=list)
    system: str = ""
    python: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)

    def handed_on(self) -> Board:
        kernel = _KERNEL.match(self.system)
        own = {item.name: getattr(self, item.name) for item in fields(Board)}
        clusters = [Cores(len(each.cores), each.max_mhz) for each in self.clusters]
        return Board(**own | {"clusters": clusters, "system": kernel[0] if kernel else None})


def _figure(measured: Measurement) -> Figure:
    inference = measured.row("inference")
    return Figure(
        model=_registered(measured.source_sha256),
        input=measured.input,
        backend=measured.backend,
        backend_version=measured.backend_version,
        precision=measured.precision,
        halves=measured.verification.get("halves") is True,
        threads=measured.threads,
        inference_ms=inference.median_ms,
        ci_low_ms=inference.ci_low_ms,
        ci_high_ms=inference.ci_high_ms,
        end_to_end_ms=measured.row("end_to_end").median_ms,
        samples=inference.samples,
        peak_rss_mb=inference.peak_rss_mb,
        model_bytes=measured.model_bytes,
        warnings=list(measured.warnings),
    )


def _registered(source_sha256: str) -> str:
    """Name a network that everybody can have; one's own keeps its name to oneself."""
    for name, entry in models.registry().items():
        if source_sha256 in (entry.sha256, entry.onnx_sha256):
            return name
    return _OWN
