"""Feeds damaged files to every reader and says what happened: `make fuzz`.

Each reader runs in forks of this process. A fork goes through file after file until it is done
or dies; then the next fork goes on behind the file that killed it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tests.fuzz.targets import TARGETS, Files, Target
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.errors import UltraFaceError
from ultraface_deploy.safe.limits import Limit

_CPU_SECONDS = 10
_MEMORY_MB = 1024


@dataclass
class Tally:
    """What came of the files of one format.

    `findings` are what must not be, by kind with the numbers of the files; for a native reader,
    `in_child` counts what its child process took upon itself.
    """

    format: str
    files: int = 0
    read: int = 0
    refused: int = 0
    in_child: dict[str, int] = field(default_factory=dict)
    findings: dict[str, list[int]] = field(default_factory=dict)
    peak_mb: int = 0
    cpu_seconds: float = 0.0
    watched: int = 0
    """Files that were given to a whole command as well."""

    def find(self, kind: str, number: int) -> None:
        self.findings.setdefault(kind, []).append(number)


def run(name: str, seeds: Sequence[Files], count: int, seed: int = 0) -> Tally:
    """Fuzz one format with so many files."""
    target, tally = TARGETS[name], Tally(name, files=count)
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    accepted: list[int] = []
    for number, outcome in _outcomes(target, seeds, range(count), seed, target.native, tally):
        tally.read += outcome == "read"
        tally.refused += outcome == "refused"
        if outcome == "read":
            accepted.append(number)
        elif outcome != "refused" and target.native:
            tally.in_child[outcome] = tally.in_child.get(outcome, 0) + 1
        elif outcome != "refused":
            tally.find(outcome, number)
    if target.native:
        # What came out of the child well is opened by the process itself: now it may not crash.
        for number, outcome in _outcomes(target, seeds, accepted, seed, False, tally):
            if outcome not in ("read", "refused"):
                tally.find(outcome, number)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    tally.cpu_seconds = ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime
    return tally


def _outcomes(
    target: Target,
    seeds: Sequence[Files],
    numbers: Sequence[int],
    seed: int,
    sheltered: bool,
    tally: Tally,
) -> Iterable[tuple[int, str]]:
    """Yield (number, outcome) of each file; `sheltered` is as in the child of the product."""
    at = 0
    while at < len(numbers):
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            _read_files(target, seeds, numbers[at:], seed, sheltered, writer)
        os.close(writer)
        lines, hung = _listen(reader, process)
        _, status = os.waitpid(process, 0)
        for number, line in zip(numbers[at:], lines, strict=False):
            outcome, peak, grown = line.split()
            if not sheltered and int(grown) > _MEMORY_MB and int(peak) > tally.peak_mb:
                tally.find("over 1 GB", number)
            if not sheltered:
                tally.peak_mb = max(tally.peak_mb, int(peak))
            yield number, outcome
        at += len(lines)
        if at < len(numbers):
            ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "exit"
            yield numbers[at], "hang" if hung else ended
            at += 1


def _listen(reader: int, process: int) -> tuple[list[str], bool]:
    """Collect outcomes until the fork ends or spends too long on one file."""
    text, watched, hung = b"", psutil.Process(process), False
    since = 0.0
    while True:
        ready, _, _ = select.select([reader], [], [], 1.0)
        if ready:
            if not (piece := os.read(reader, 1 << 16)):
                break
            text += piece
            since = _cpu(watched)
        elif _cpu(watched) - since > _CPU_SECONDS:
            hung = True
            watched.kill()
    os.close(reader)
    return text.decode().splitlines(), hung


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _read_files(
    target: Target,
    seeds: Sequence[Files],
    numbers: Sequence[int],
    seed: int,
    sheltered: bool,
    writer: int,
) -> None:
    """Go through the files in a fork, one line for each; never returns."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if sheltered:
        resource.setrlimit(resource.RLIMIT_DATA, (Limit.MODEL.bytes, Limit.MODEL.bytes))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_memory_folder()))
    # A fork begins with what its parent holds, after other tests more than a file may take.
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        for number in numbers:
            write_input(target, folder, seeds, seed, number)
            outcome = _attempt(target, folder)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            os.write(writer, f"{outcome} {peak // 1024} {(peak - begun) // 1024}\n".encode())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def write_input(
    target: Target, folder: Path, seeds: Sequence[Files], seed: int, number: int
) -> None:
    """Write a good input, damaged."""
    damaged = target.damage(seeds[number % len(seeds)], f"{seed}/{number}")
    shutil.rmtree(folder)
    for name, content in damaged.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _attempt(target: Target, folder: Path) -> str:
    try:
        target.read(folder)
    except UltraFaceError:
        return "refused"
    except BaseException as error:
        return f"{type(error).__name__}"
    return "read"


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def make_artifacts(path: Path) -> ArtifactFolder:
    """Convert the default model at a small size, in a process of its own: forks want no threads."""
    from ultraface_deploy.safe.child import run_in_child

    path = path.absolute()  # the child works in a folder of its own
    if not (path / "manifest.json").is_file():
        run_in_child(
            "tests.fuzz.campaign:_convert", {"path": str(path)}, what="conversion", timeout=900
        )
    return ArtifactFolder.open(path)


def _convert(path: str) -> None:
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.source import resolve_source
    from ultraface_deploy.converters import get_format, target_names

    records = [record for record in map(get_format, target_names()) if record.missing() is None]
    names = [record.name for record in records if next(iter(record.precisions)) == "fp32"]
    convert(resolve_source("slim-320", (128, 96)), names, output=Path(path))


def main() -> None:
    from tests.fuzz.watched import find_strace, watch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="damaged files per format")
    parser.add_argument("--format", action="append", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--artifacts", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--json", type=Path, help="figures, added to those already there")
    parser.add_argument(
        "--watch-every", type=int, metavar="N", help="give each N-th file to a whole command"
    )
    options = parser.parse_args()
    strace = "" if options.watch_every is None else find_strace()
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = make_artifacts(options.artifacts)
    bad = False
    for name in options.format or TARGETS:
        started = time.monotonic()
        seeds = TARGETS[name].seeds(folder)
        tally = run(name, seeds, options.files, options.seed)
        if strace:
            tally.watched = watch(
                *(name, seeds, options.files, options.watch_every, options.seed, strace, tally)
            )
        bad |= bool(tally.findings)
        record = asdict(tally) | {"seed": options.seed}
        print(json.dumps(record), f"{time.monotonic() - started:.0f} s", flush=True)
        if options.json:
            known = json.loads(options.json.read_text()) if options.json.is_file() else {}
            known[name] = record
            options.json.write_text(json.dumps(known, indent=1) + "\n")
    sys.exit(bad)


if __name__ == "__main__":
    main()
