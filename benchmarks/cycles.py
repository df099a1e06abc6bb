"""Whether instruction counts, or cycles estimated from them, rank runtimes as their times do.

    python -m ultraface_deploy.benchmarks.cycles time DIR [--rounds 12] [--cpu sapphirerapids]
    python -m ultraface_deploy.benchmarks.cycles cores

`time` runs each runtime of this x86-64 machine in each precision of DIR, one thread; of several
formats that a runtime reads, the one it runs best. Of one inference it counts every instruction,
and lets llvm-mca estimate the cycles of the basic blocks that make up 97 % of it, for the processor
that is named. The CPU time is measured in turns; its tenth percentile stands for it, as other load
only adds. Spearman's rank correlation says how well each ranks. What cannot be counted or timed is
named on standard error and left out. `cores` asks llvm-mca for the inner loops of two kernels on
Arm cores: which of its models differ. Needs gcc and LLVM 19 or later (Debian: llvm-19 or llvm-22).
"""

from __future__ import annotations

import argparse
import contextlib
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

from ultraface_deploy.artifacts.choose import best
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.benchmarks.llvm import estimate, estimated_cycles, mca, output_of
from ultraface_deploy.errors import InputError
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
# A runtime that works in the thread that calls it spends this share of its time there.
_OWN_SHARE = 0.95
CORES = ("cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1")

Pair = tuple[str, str]  # an artifact's id, the name of the runtime that runs it


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


def pairs_of(folder: ArtifactFolder) -> list[Pair]:
    """Return what each installed runtime runs in each precision: one artifact's id, its name."""
    runtimes = [each for each in map(get_backend, backend_names()) if each.is_for_use]
    precisions = sorted({artifact.precision for artifact in folder.artifacts})
    return [
        (artifact.id, backend.name)
        for precision in precisions
        for backend in runtimes
        if backend.available()
        and (artifact := best(folder, backend, precision)) is not None
        and artifact.verified
    ]


def measured(folder: ArtifactFolder, rounds: int, cpu: str) -> Iterator[Estimate]:
    """Count, estimate and time every runtime of this machine in every precision."""
    seconds = _seconds(folder, pairs_of(folder), rounds)
    with tempfile.TemporaryDirectory(prefix="ultraface-steps-") as scratch:
        library = Path(scratch, "steps.so")
        source = Path(__file__).with_name("steps.c")
        output_of(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], "")
        for pair, taken in seconds.items():
            steps = Path(scratch, "steps")
            child = _child(folder, pair, str(library), str(steps))
            if status := subprocess.run(child, check=False, env=_alone()).returncode:
                _leave_out(pair, f"its process ended with {status} when it was counted")
                continue
            total, cycles, covered = estimate(steps.read_text(), cpu)
            steps.unlink()
            yield Estimate("@".join(pair), taken, total, cycles, covered)


def _leave_out(pair: Pair, why: str) -> None:
    print(f"left out: {'@'.join(pair)}: {why}", file=sys.stderr, flush=True)


def _seconds(folder: ArtifactFolder, pairs: Sequence[Pair], rounds: int) -> Mapping[Pair, float]:
    """CPU time of one inference, the tenth percentile over all rounds; what cannot be timed aside.

    What works in other threads than the one that called is aside too: only that one is counted.
    """
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
    found: dict[Pair, list[tuple[float, float]]] = {pair: [] for pair in pairs}
    for _ in range(rounds):
        for pair in list(found):
            if answer := _answer(children[pair]):
                found[pair] += json.loads(answer)
            else:
                _leave_out(pair, "it did not run")
                del found[pair]
    for child in children.values():
        child.communicate()
    for pair, times in list(found.items()):
        process, thread = np.sum(times, axis=0)
        if thread < _OWN_SHARE * process:
            _leave_out(pair, f"{1 - thread / process:.0%} of it runs in other threads")
            del found[pair]
    return {pair: float(np.quantile(times, 0.1, axis=0)[0]) for pair, times in found.items()}


def _answer(child: subprocess.Popen[str]) -> str:
    """What a child measured in this round; nothing when it has ended."""
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        print("go", file=child.stdin, flush=True)
    return child.stdout.readline()


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
            began = time.process_time(), time.thread_time()
            session.run(tensor)
            times.append((time.process_time() - began[0], time.thread_time() - began[1]))
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
        raise InputError(f"{path}: fewer than three artifacts rank nothing; count more")
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
