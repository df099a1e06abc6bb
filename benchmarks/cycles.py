"""Whether instruction counts, or cycles estimated from them, rank runtimes as their times do.

    python -m ultraface_deploy.benchmarks.cycles time DIR [--rounds 12] [--cpu sapphirerapids]
    python -m ultraface_deploy.benchmarks.cycles cores

`time` runs each artifact of DIR on each runtime of this x86-64 machine, one thread. Of one
inference it counts every instruction by stepping through it, and lets llvm-mca estimate the cycles
of the basic blocks that make up 97 % of it, for the processor that is named. The CPU time is
measured in turns; its tenth percentile stands for it, as other load only adds. Spearman's rank
correlation says how well each ranks. `cores` asks llvm-mca for the inner loops of two kernels on
Arm cores: which of its models differ. Needs gcc and LLVM 19 or later (Debian: llvm-19 or llvm-22).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ultraface_deploy.artifacts.choose import runtimes_of
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.benchmarks.llvm import estimate, estimated_cycles, mca, output_of
from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

# The inner loops of a dot-product kernel with requantisation, and of a float kernel.
KERNELS = {
    "int8": """ldr q1, [x0], #16
ldr q2, [x1], #16
sdot v0.4s, v1.16b, v2.4b[0]
sdot v3.4s, v1.16b, v2.4b[1]
sdot v4.4s, v1.16b, v2.4b[2]
sdot v5.4s, v1.16b, v2.4b[3]
sqrdmulh v6.4s, v6.4s, v7.4s""",
    "fp32": """ldr q1, [x0], #16
ldr q2, [x1], #16
fmla v0.4s, v1.4s, v2.s[0]
fmla v3.4s, v1.4s, v2.s[1]
fmla v4.4s, v1.4s, v2.s[2]
fmla v5.4s, v1.4s, v2.s[3]""",
}
CORES = ("cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1")


@dataclass(frozen=True)
class Estimate:
    """One artifact on one runtime here; `seconds` of CPU time, `covered` of its instructions."""

    name: str
    seconds: float
    instructions: int
    cycles: float
    covered: float


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's coefficient of two rankings without ties."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def measured(folder: ArtifactFolder, rounds: int, cpu: str) -> Iterator[Estimate]:
    """Count, estimate and time every artifact on every runtime of this machine."""
    pairs = [
        (artifact.id, backend.name)
        for artifact in folder.artifacts
        for backend in runtimes_of(artifact.format, artifact.precision)
        if artifact.verified and backend.available() and backend.name != "torch"
    ]
    seconds = _seconds(folder, pairs, rounds)
    with tempfile.TemporaryDirectory(prefix="ultraface-steps-") as scratch:
        library = Path(scratch, "steps.so")
        source = Path(__file__).with_name("steps.c")
        output_of(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], "")
        for pair in pairs:
            steps = Path(scratch, "steps")
            subprocess.run(_child(folder, pair, str(library), str(steps)), check=True, env=_alone())
            total, cycles, covered = estimate(steps.read_text(), cpu)
            yield Estimate("@".join(pair), seconds[pair], total, cycles, covered)


def _seconds(
    folder: ArtifactFolder, pairs: Sequence[tuple[str, str]], rounds: int
) -> Mapping[tuple[str, str], float]:
    """CPU time of one inference, the tenth percentile over all rounds."""
    children = {
        pair: subprocess.Popen(
            _child(folder, pair),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_alone(),
        )
        for pair in pairs
    }
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    for _ in range(rounds):
        for pair, child in children.items():
            assert child.stdin is not None and child.stdout is not None
            print("go", file=child.stdin, flush=True)
            if not (answer := child.stdout.readline()):
                raise ToolFailed(f"{'@'.join(pair)} did not run")
            found[pair] += json.loads(answer)
    for child in children.values():
        child.communicate()
    return {pair: float(np.quantile(values, 0.1)) for pair, values in found.items()}


def _child(folder: ArtifactFolder, pair: tuple[str, str], *stepping: str) -> list[str]:
    command = [sys.executable, "-m", "ultraface_deploy.benchmarks.cycles", "child"]
    return [*command, str(folder.path), *pair, *stepping]


def _alone() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _run_child(path: str, artifact_id: str, backend: str, library: str = "", out: str = "") -> None:
    """Load one artifact; step through an inference, or time some whenever a line comes in."""
    # Runtimes write there too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder = ArtifactFolder.open(Path(path))
    artifact = folder.get(artifact_id)
    session = get_backend(backend).load(folder.files(artifact), folder.spec, 1, artifact.precision)
    tensor = preprocess(read_image(DEMO_PHOTO), folder.spec)
    for _ in range(3):
        session.run(tensor)
    gc.collect()
    gc.disable()
    if library:
        stepper = ctypes.CDLL(library)
        stepper.start()
        session.run(tensor)
        os._exit(-stepper.stop(out.encode()))
    for _ in sys.stdin:
        times = []
        for _ in range(20):
            began = time.process_time()
            session.run(tensor)
            times.append(time.process_time() - began)
        print(json.dumps(times), file=answers, flush=True)


def _print_time(path: Path, rounds: int, cpu: str) -> None:
    folder = ArtifactFolder.open(path)
    rows = []
    print("| artifact, runtime | CPU ms | million instructions | million cycles, estimated |")
    print("|---|---:|---:|---:|")
    for each in measured(folder, rounds, cpu):
        rows.append(each)
        print(
            f"| {each.name} | {each.seconds * 1e3:.3f} | {each.instructions / 1e6:.2f} | "
            f"{each.cycles / 1e6:.2f} |",
            flush=True,
        )
    if len(rows) < 3:
        raise InputError(f"{path}: fewer than three artifacts rank nothing")
    times = [each.seconds for each in rows]
    for what in ("instructions", "cycles"):
        coefficient = rank_correlation([getattr(each, what) for each in rows], times)
        print(f"rank correlation of {what} with CPU time over {len(rows)}: {coefficient:.2f}")


def _print_cores() -> None:
    print(output_of([mca(), "--version"], "").splitlines()[0].strip())
    print("| model | " + " | ".join(f"{name}, cycles" for name in KERNELS) + " |")
    print("|---|" + "---:|" * len(KERNELS))
    for core in CORES:
        cycles = estimated_cycles(list(KERNELS.values()), "aarch64", core)
        print(f"| {core} | " + " | ".join(f"{each:.2f}" for each in cycles) + " |")


def main() -> None:
    """Print a table."""
    if sys.argv[1:2] == ["child"]:
        _run_child(*sys.argv[2:])
        return
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(dest="command", required=True)
    timed = commands.add_parser("time")
    timed.add_argument("folder", type=existing)
    timed.add_argument("--rounds", type=int, default=12)
    timed.add_argument("--cpu", default="native")
    commands.add_parser("cores")
    asked = parser.parse_args()
    if asked.command == "cores":
        _print_cores()
    else:
        _print_time(asked.folder, asked.rounds, asked.cpu)


if __name__ == "__main__":
    command(main)
