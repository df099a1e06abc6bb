"""The parent's end of a timing child: start it, ask it, stop it while others are timed."""

# Tested by tests/bench/test_run.py.

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from ultraface_deploy.errors import WorkerFailed

WORKER = (sys.executable, "-m", "ultraface_deploy.bench.worker")
_TIMEOUT_S = 180.0


class Worker:
    """One running child.

    Args:
        job: see `worker.Runner`; JSON-serialisable.
        command: what to start; experiments put a delayed worker in its place.

    Raises:
        WorkerFailed: it does not reach its first result.
    """

    def __init__(self, job: Mapping[str, Any], command: Sequence[str] = WORKER) -> None:
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        # The child imports from where the parent does, whatever its working directory.
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100
        started = time.monotonic_ns()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            start_new_session=True,
        )
        try:
            self.first = self._ask(job)
        except BaseException:
            self.close()
            raise
        self.cold_start_ms = (self.first["first_result_ns"] - started) / 1e6
        """From starting the process to its first faces."""
        self.pid = self._process.pid
        self.pause()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send a question while the child is awake and return its answer.

        Raises:
            WorkerFailed: it reported an error, ended, or did not answer in time.
        """
        self._signal(signal.SIGCONT)
        try:
            return self._ask(question)
        finally:
            self.pause()

    def pause(self) -> None:
        """Freeze the child: the spinning threads of one runtime must not slow the next one."""
        self._signal(signal.SIGSTOP)

    def close(self) -> None:
        """End the child with everything it started."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(self._obituary()) from None
        line = self._read_line()
        if not line:
            raise WorkerFailed(self._obituary())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(_TIMEOUT_S):
                raise WorkerFailed(f"did not answer within {_TIMEOUT_S:.0f} s")
        return self._process.stdout.readline()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _obituary(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().splitlines() if line.strip()]
        how = (
            f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        return f"{how}: {lines[-1][:200]}" if lines else how
