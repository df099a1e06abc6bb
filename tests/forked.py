"""Commands in copies of one process that has already loaded the command line.

Each still is a process of its own, with its own streams, environment, limits and end; what is
saved is half a second for each in which Python loads the same modules. Tests of how the command
starts do not use it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tests.conftest import ROOT


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it took: the most memory in MB, processor time in seconds."""

    code: int
    peak_mb: int
    seconds: float


class Forks:
    """The process that is copied; it ends when this one does."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        words: Sequence[object],
        said: Path,
        environment: Mapping[str, str],
        memory: int,
        *,
        program: str | None = None,
    ) -> Done:
        """Run a command to its end.

        Args:
            words: its arguments.
            said: file for what it writes to standard error; what it prints is lost.
            environment: all of its variables.
            memory: bytes that it may allocate.
            program: the path of another program that is run instead. It is started from here
                because a process counts as its own the memory of the one that started it.
        """
        job = {
            "program": program,
            "words": list(map(str, words)),
            "said": str(said),
            "environment": dict(environment),
            "memory": memory,
        }
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        return Done(**json.loads(self._server.stdout.readline()))


@cache
def forks() -> Forks:
    """Return the process that is copied, one a session."""
    return Forks()


def main() -> None:
    """Answer each job on standard input with a `Done`; in a copy, become the command."""
    from ultraface_deploy.cli.app import build_app
    from ultraface_deploy.cli.app import main as command

    build_app()
    import ultraface_deploy.artifacts.convert
    import ultraface_deploy.artifacts.verify
    import ultraface_deploy.detect.detector  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    for line in iter(sys.stdin.readline, ""):
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(job)
            if job["program"]:
                os.execv(job["program"], [job["program"], *job["words"]])
            return command(job["words"])
        _, status, used = os.wait4(pid, 0)
        seconds = used.ru_utime + used.ru_stime
        done = Done(os.waitstatus_to_exitcode(status), used.ru_maxrss >> 10, seconds)
        answers.write(json.dumps(asdict(done)) + "\n")
        answers.flush()
    return None


def _become(job: Mapping[str, object]) -> None:
    os.dup2(1, 0)
    os.dup2(os.open(str(job["said"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ.clear()
    os.environ.update(job["environment"])  # type: ignore[call-overload]
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_DATA, (job["memory"],) * 2)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
