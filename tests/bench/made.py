"""Benchmark results made up from known distributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ultraface_deploy.bench.measurement import Launch, Measurement, Round
from ultraface_deploy.bench.result import BenchReport

MACHINE = {
    "hostname": "pi",
    "cpu": "Cortex-A72",
    "cores": 4,
    "allowed_cores": [0, 1, 2, 3],
    "governors": ["ondemand"],
}


def launches(
    generator: np.random.Generator, inference_ms: float = 2.0, count: int = 5, busy: float = 0.0
) -> list[Launch]:
    """Return launches of a machine on which others take their share of the time now and then.

    Each launch is up to 1 % slower than the best one; a sample takes its time plus what others
    take: mostly little, with the probability `busy` 1 to 3 ms.
    """
    return [
        _launch(generator, inference_ms * generator.uniform(1, 1.01), busy) for _ in range(count)
    ]


def _launch(generator: np.random.Generator, ms: float, busy: float) -> Launch:
    rounds = []
    for _ in range(6):
        times = ms * 1000 + generator.exponential(ms * 30, size=40)
        disturbed = generator.random(40) < busy
        times[disturbed] += generator.uniform(1000, 3000, disturbed.sum())
        rounds.append(
            Round([500.0] * 40, times.tolist(), [100.0] * 40, np.flatnonzero(disturbed).tolist())
        )
    return Launch(300.0, 80.0, rounds)


def measurement(inference_ms: float = 2.0, seed: int = 0, **changes: Any) -> Measurement:
    """Return a measurement of slim-320 in ncnn with one thread, or with what is changed."""
    busy = changes.pop("busy", 0.0)
    fields: dict[str, Any] = {
        "model": "slim-320",
        "folder": "artifacts/slim-320",
        "width": 320,
        "height": 240,
        "artifact": "ncnn",
        "backend": "ncnn",
        "backend_version": "1.0",
        "precision": "fp32",
        "threads": 1,
        "cores": [0],
        "sha256": {"slim-320.ncnn.bin": "ab"},
        "source_sha256": "cd",
        "model_bytes": 1_038_404,
        "verification": {"recall": 1.0},
        "launches": launches(np.random.default_rng(seed), inference_ms, busy=busy),
    }
    return Measurement(**(fields | changes))


def report(*measurements: Measurement, **machine: Any) -> BenchReport:
    """Return a report of the measurements on one machine."""
    return BenchReport(MACHINE | machine, {"round_seconds": 0.1}, measurements)
