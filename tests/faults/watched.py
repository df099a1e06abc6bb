"""Runs a command and holds it to what is promised for any input: its end, cost and traces."""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import ROOT
from tests.forked import forks

_MOST_MB = 1024
_MOST_SECONDS = 60
# What a failing test may take of the machine.
_LIMIT = 3 << 30

# Calls that open a socket to elsewhere or change files. Those that name two files change both.
_CALLS = (
    *("socket", "open", "openat", "creat", "truncate", "unlink", "unlinkat", "rmdir"),
    *("rename", "renameat", "renameat2", "mkdir", "mkdirat", "link", "linkat", "symlink"),
    *("symlinkat", "chmod", "fchmodat"),
)
_SOCKET = re.compile(r"socket\(AF_(?:INET6?|PACKET).*")
# With `strace -y`: `openat(AT_FDCWD</where>, "name", O_WRONLY|...) = 3</where/name>`.
_CHANGE = re.compile(r"^\d+ +(\w+)\((.*)\) += (?!-1)", re.MULTILINE)
_NAMED = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it took."""

    code: int
    said: str
    peak_mb: int
    seconds: float
    left: tuple[str, ...]
    """Processes and temporary files that it has not cleaned up; watched by strace, sockets that it
    opened, and files that it changed where it must not."""

    def problem(self) -> str | None:
        """Say what is not as it is promised for any input; None where all is."""
        if self.code not in (0, 1, 2, 3, 130) or "Traceback" in self.said:
            return f"exit code {self.code}: {self.said[-1500:]}"
        if self.code and not (self.said.splitlines() or [""])[-1].startswith("error: "):
            return f"no error in the last line: {self.said[-300:]}"
        if self.peak_mb > _MOST_MB:
            return f"took {self.peak_mb} MB"
        if self.seconds > _MOST_SECONDS:
            return f"took {self.seconds:.0f} s of processor time"
        return f"left {self.left}" if self.left else None


def run_watched(
    words: Sequence[object],
    scratch: Path,
    strace: str | None = None,
    outputs: Sequence[Path] = (),
    program: Sequence[str] = (),
) -> Ended:
    """Run a command under limits like `ulimit`'s.

    One that nothing watches is run in a copy of a process that has loaded it: see `tests.forked`.

    Args:
        words: the command's arguments.
        scratch: an empty folder for what is temporary, the cache and the error output.
        strace: the program that watches for sockets and changed files; None for none.
        outputs: files and folders that it may change.
        program: what Python runs instead of the command line.
    """
    mark = uuid.uuid4().hex
    for name in ("tmp", "cache", "home"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "TMPDIR": str(scratch / "tmp"),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "HOME": str(scratch / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "WATCHED": mark,
    }
    calls, said = scratch / "calls", scratch / "said"
    line = [sys.executable, *(program or ("-m", "ultraface_deploy")), *map(str, words)]
    if strace:
        watch = ["-f", "-qq", "-y", "-s", "4096", "-e", f"trace={','.join(_CALLS)}"]
        line = [strace, *watch, "-o", str(calls), *line]
    if strace or program:
        done = forks().run(line[1:], said, environment, _LIMIT, program=line[0])
    else:
        done = forks().run(words, said, environment, _LIMIT)
    left = [*_marked(mark), *(path.name for path in (scratch / "tmp").iterdir())]
    if strace:
        told = calls.read_text(errors="replace")
        left += _SOCKET.findall(told)
        left += changed_elsewhere(told, [scratch, *outputs])
    text = said.read_text(errors="replace")
    return Ended(done.code, text, done.peak_mb, done.seconds, tuple(left))


def changed_elsewhere(told: str, allowed: Sequence[Path]) -> list[str]:
    """Return the calls of a trace that changed a file outside all that is allowed."""
    # What lies there is not kept: devices, semaphores, a process's own descriptors.
    places = [*(path.resolve() for path in allowed), Path("/dev"), Path("/proc")]
    found = []
    for call in _CHANGE.finditer(told):
        name, arguments = call.groups()
        if name == "socket" or (name in ("open", "openat") and not _WRITES.search(arguments)):
            continue
        for folder, file in _NAMED.findall(arguments):
            path = Path(os.path.normpath(Path(folder or ROOT) / file))
            if not any(path.is_relative_to(place) for place in places):
                found.append(f"{name} {path}")
    return found


def _marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WATCHED") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
