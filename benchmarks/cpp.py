"""The generated C++ detector beside the Python pipeline: same runtime, same artifact.

    python -m ultraface_deploy.benchmarks.cpp time sdk/build/native/libultraface.so DIR
    python -m ultraface_deploy.benchmarks.cpp count sdk/build/aarch64/stages PHOTO.ppm sdk/models

`time` takes both from the pixels of a photograph to its faces, in one process, a round of the one
after a round of the other. `count` counts instructions on an emulated Arm core, by stage.
"""

# Tested by tests/sdk/test_detector.py.

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ultraface_deploy import Detector
from ultraface_deploy.agreement.precision import parse_precision
from ultraface_deploy.bench.count.instructions import build_plugin
from ultraface_deploy.bench.count.sysroot import show_core
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
from ultraface_deploy.sdk.library import LibraryDetector

_WARM_UP = 20
_CALLS_A_ROUND = 10


@dataclass(frozen=True)
class StageCounts:
    """Instructions of the stages of one detection."""

    resample: int
    network: int
    faces: int

    @property
    def beside(self) -> float:
        """What is spent beside the network, as a share of the network's instructions."""
        return (self.resample + self.faces) / self.network


def count_stages(stages: Path, photograph: Path, models: Path | None, core: str) -> StageCounts:
    """Count the instructions of each stage on an emulated core, when caches are warm.

    Args:
        stages: the program of that name of a project built for aarch64.
        photograph: a PPM file.
        models: folder of the model files; None where they are embedded.
        core: for example `cortex-a72`.

    Raises:
        InputError: the program failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        counts = Path(scratch) / "counts"
        plugin = f"{build_plugin(Path(scratch))},out={counts}"
        program = [str(stages), str(photograph), "" if models is None else str(models), "2"]
        done = subprocess.run(
            [*emulator(core, Path(scratch)), "-plugin", plugin, *program],
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise InputError(f"{stages}: failed on {core} ({done.stderr.strip()[-200:]})")
        last_round = counts.read_text().splitlines()[-3:]
    return StageCounts(*(int(line.split()[0]) for line in last_round))


def emulator(core: str, folder: Path) -> list[str]:
    """Return the command that runs a static program on an emulated core.

    Args:
        core: for example `cortex-a72`.
        folder: where to put what the core shows of itself.
    """
    return ["qemu-aarch64", "-cpu", core, "-L", str(show_core(core, folder))]


def time_pairs(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> list[tuple[float, float]]:
    """Time two functions in alternating rounds; return (first, second) milliseconds a round."""
    for function in (first, second):
        for _ in range(_WARM_UP):
            function()
    return [(_round(first), _round(second)) for _ in range(rounds)]


def _round(function: Callable[[], object]) -> float:
    times = []
    for _ in range(_CALLS_A_ROUND):
        start = time.perf_counter_ns()
        function()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return float(np.median(times))


def report_times(asked: argparse.Namespace) -> None:
    """Print the medians, and the ratio with its 95 % interval over the rounds."""
    precision = parse_precision(asked.precision)
    image = read_image(asked.image)
    python = Detector.open(asked.folder, asked.backend, precision, asked.threads)
    with LibraryDetector(asked.library, asked.models, threads=asked.threads) as cpp:
        expected, actual = python.detect(image), cpp.detect(image)
        if len(actual) != len(expected):
            raise CheckFailed(f"{len(actual)} faces in C++, {len(expected)} in Python")
        pairs = time_pairs(lambda: cpp.detect(image), lambda: python.detect(image), asked.rounds)
    times = np.array(pairs)
    ratios = times[:, 0] / times[:, 1]
    resampled = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(resampled, axis=1), [0.025, 0.975])
    c, p = np.median(times, axis=0)
    print(f"{len(expected)} faces in {image.shape[1]}x{image.shape[0]}, {asked.threads} threads")
    print(f"C++ {c:.3f} ms, Python {p:.3f} ms")
    print(f"C++ / Python {np.median(ratios):.3f} (95 %: {low:.3f} to {high:.3f})")


def report_counts(asked: argparse.Namespace) -> None:
    """Print the instructions of each stage on each core."""
    for core in asked.core or ["cortex-a53", "cortex-a72", "cortex-a76"]:
        counts = count_stages(asked.stages, asked.photograph, asked.models, core)
        print(
            f"{core}: resample {counts.resample / 1e6:.2f} M, "
            f"network {counts.network / 1e6:.2f} M, decode and NMS {counts.faces / 1e6:.2f} M; "
            f"beside the network {counts.beside:.1%}"
        )


def main() -> None:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    timing = commands.add_parser("time")
    timing.add_argument("library", type=existing, help="libultraface.so")
    timing.add_argument("folder", type=existing, help="the artifact folder it was generated from")
    timing.add_argument(
        "--models", type=existing, help="folder of the model files, if not embedded"
    )
    timing.add_argument("--backend", default="ncnn")
    timing.add_argument("--precision", default="fp32")
    timing.add_argument("--threads", type=int, default=1)
    timing.add_argument("--rounds", type=int, default=60)
    timing.add_argument("--image", type=existing, default=DEMO_PHOTO)
    timing.set_defaults(run=report_times)
    counting = commands.add_parser("count")
    counting.add_argument("stages", type=existing, help="the program `stages`, built for aarch64")
    counting.add_argument("photograph", type=existing, help="a PPM file")
    counting.add_argument("models", type=existing, nargs="?")
    counting.add_argument("--core", action="append")
    counting.set_defaults(run=report_counts)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    command(main)
