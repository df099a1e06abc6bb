"""Is the benchmark to be believed? Pairs of equal runs, pairs with a known slow-down, overhead.

    python -m ultraface_deploy.benchmarks.trust artifacts/slim-320 --pairs 20

Equal runs must compare as "no difference shown" and a slow-down of 10 % must be found, both in 19
of 20 pairs; the harness must add less than 2 % to an inference of a millisecond.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.backends import Session
from ultraface_deploy.backends.base import Tensor
from ultraface_deploy.bench.comparison import compare_reports
from ultraface_deploy.bench.driver import WORKER
from ultraface_deploy.bench.plan import Configuration, configurations
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import measure
from ultraface_deploy.bench.worker import Runner, raise_priority
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import make_folder, write_text
from ultraface_deploy.safe.images import DEMO_PHOTO

_SPIN_MS = 1.0


class _Spin(Session):
    """Takes one millisecond by the clock, whatever it is given."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._outputs = {
            "scores": np.zeros((1, spec.num_anchors, spec.num_classes), np.float32),
            "boxes": np.zeros((1, spec.num_anchors, 4), np.float32),
        }

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        until = time.perf_counter_ns() + int(_SPIN_MS * 1e6)
        while time.perf_counter_ns() < until:
            pass
        return self._outputs


def overhead(configuration: Configuration) -> float:
    """Return what the harness adds to an inference of one millisecond, as a share of it."""
    folder, artifact = configuration.folder, configuration.artifact
    job = {
        "backend": configuration.backend,
        "files": [str(path.absolute()) for path in folder.files(artifact)],
        "spec": folder.spec.to_dict(),
        "precision": artifact.precision,
        "threads": 1,
        "image": str(DEMO_PHOTO),
    }
    median = run_in_child(f"{__spec__.name}:spin_in_child", {"job": job}, what="the overhead")
    return float(median) / _SPIN_MS - 1


def spin_in_child(job: dict[str, Any]) -> float:
    """Return the median that the harness measures of an inference of one millisecond."""
    raise_priority()
    runner = Runner(job)
    runner.session, runner.expected = _Spin(runner.session.spec), 0
    times = [runner.time_round(0.2)["inference"] for _ in range(10)]
    return float(np.median(np.concatenate(times)) / 1000)


def main() -> None:
    """Run the experiments and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=existing)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--slow-down", type=float, default=1.10)
    parser.add_argument("--keep", type=Path, help="folder for the results of all runs")
    asked = parser.parse_args()
    if asked.keep:
        make_folder(asked.keep)
    (configuration,) = configurations([asked.folder], [asked.backend], threads=[asked.threads])
    print(f"overhead on an inference of {_SPIN_MS:g} ms: {overhead(configuration):.2%}")
    delayed = (sys.executable, "-m", "ultraface_deploy.benchmarks.delayed_worker")
    commands = (WORKER, WORKER, (*delayed, str(asked.slow_down)))
    plain: list[BenchReport] = []
    equal: Counter[str] = Counter()
    slowed: Counter[str] = Counter()
    for index in range(asked.pairs):
        first, again, slow = (_run(configuration, command) for command in commands)
        plain += (first, again)
        for counts, other in ((equal, again), (slowed, slow)):
            (found,) = compare_reports(first, other)
            counts[found.verdict] += 1
            interval = f"{found.ratio:.3f} ({found.ratio_low:.3f} to {found.ratio_high:.3f})"
            name = "equal" if counts is equal else "slowed"
            print(f"{index + 1:>3} {name:<7} {interval}  {found.verdict}", flush=True)
        if asked.keep:
            for name, run in (("first", first), ("again", again), ("slow", slow)):
                write_text(asked.keep / f"{index:02}-{name}.json", run.to_json())
    print(f"equal runs: {dict(equal)}")
    print(f"slowed by {asked.slow_down - 1:.0%}: {dict(slowed)}")
    any_two = Counter(compare_reports(*two)[0].verdict for two in combinations(plain, 2))
    print(f"any two of the {len(plain)} equal runs: {dict(any_two)}")


def _run(configuration: Configuration, command: tuple[str, ...]) -> BenchReport:
    report = measure([configuration], command=command)
    if report.failures:
        raise SystemExit(f"not timed: {report.failures[0].reason}")
    return report


if __name__ == "__main__":
    command(main)
