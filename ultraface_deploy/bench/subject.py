"""A configuration while it is being measured, and what is said of it in the end."""

# Tested by tests/bench/test_run.py.

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.cores import core_quota
from ultraface_deploy.bench.measurement import Launch, Measurement
from ultraface_deploy.bench.meters import power_saving
from ultraface_deploy.bench.originals import Original
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.result import Failure
from ultraface_deploy.bench.statistics import median_interval
from ultraface_deploy.bench.watch import Watch
from ultraface_deploy.safe.text import counted

_BUSY_CORES = 0.15
_BUSY_SAMPLES = 0.05


@dataclass
class Subject:
    """A configuration while it is being measured."""

    configuration: Configuration
    cores: list[int]
    reference: Original
    launches: list[Launch] = field(default_factory=list)
    failure: str | None = None
    unverified: str | None = None
    verification: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.cores)

    @property
    def title(self) -> str:
        """What the user is told that it is."""
        c = self.configuration
        return f"{c.model} {c.backend} {c.artifact.precision} x{c.threads}"

    def job(self, image: str) -> dict[str, Any]:
        """What its timing child is given."""
        c = self.configuration
        return {
            "backend": c.backend,
            "files": [str(path.absolute()) for path in c.folder.files(c.artifact)],
            "spec": c.folder.spec.to_dict(),
            "precision": c.artifact.precision,
            "halves": c.artifact.passed_in_halves,
            "threads": c.threads,
            "cores": self.cores,
            "image": image,
        }

    def narrow(self, ci_percent: float) -> bool:
        """Whether the interval of the median inference is as narrow as wanted."""
        launches = [[r.milliseconds("inference") for r in la.rounds] for la in self.launches]
        low, high = median_interval(launches)
        return math.sqrt(high / low) - 1 <= ci_percent / 100

    def measurement(self) -> Measurement:
        """What was measured, with its warnings."""
        c = self.configuration
        spec = c.folder.spec
        measured = Measurement(
            model=c.model,
            folder=str(c.place),
            width=spec.width,
            height=spec.height,
            artifact=c.artifact.id,
            backend=c.backend,
            backend_version=get_backend(c.backend).version(),
            precision=c.artifact.precision,
            threads=c.threads,
            cores=self.cores,
            sha256=dict(c.artifact.sha256),
            source_sha256=c.folder.source.sha256,
            model_bytes=c.artifact.bytes,
            verification=self.verification,
            launches=self.launches,
        )
        return replace(measured, warnings=self._warnings(measured))

    def _warnings(self, measured: Measurement) -> list[str]:
        found = [f"unverified: {self.unverified}"] if self.unverified else []
        threads, cores = measured.threads, len(measured.cores)
        if threads > cores:
            found.append(f"{threads} threads on {counted(cores, 'core')}")
        quota = core_quota()
        if quota is not None and threads > quota:
            found.append(
                f"{counted(threads, 'thread')} with the time of {counted(quota, 'core')}: "
                "a quota is set"
            )
        found += sorted(self.watch.throttled)
        others, lost = self.watch.other_cores, measured.preempted_share
        # With several threads a sample counts as disturbed when any of them was.
        if others > _BUSY_CORES * min(threads, cores) or (threads == 1 and lost > _BUSY_SAMPLES):
            used = f"other processes used {others:.1f} of its cores, " if others >= 0.05 else ""
            found.append(f"busy: {used}it was interrupted in {lost:.0%} of samples")
        if saving := power_saving(cores=measured.cores):
            found.append(f"governor {', '.join(saving)} saves power")
        return found

    def failed(self) -> Failure:
        """Why it was not measured."""
        c = self.configuration
        return Failure(
            c.model,
            c.artifact.id,
            c.backend,
            c.artifact.precision,
            c.threads,
            self.failure or "",
        )
