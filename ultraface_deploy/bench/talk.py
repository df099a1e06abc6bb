"""One conversation with a board: send the request, hear how it goes on, take the answer.

What a board says is as strange as any file: it may be anything, never end, or never come.
"""

# Tested by tests/bench/test_board_answers.py.

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import IO

from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import BenchProgress
from ultraface_deploy.bench.ssh import ssh_failed
from ultraface_deploy.errors import InputError, RemoteFailed
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.safe.limits import Limit

OnProgress = Callable[[str, BenchProgress], None]
Note = Callable[[str], None]

_SILENCE_S = 120.0
"""Without a sign of life; a board gives one every 15 seconds."""
_STANDSTILL_S = 3600.0
"""Without progress; installing the runtimes takes some minutes."""
_LINGER_S = 5.0
"""For streams that a process holds which ssh has left behind for other connections."""
_PIECE = 1 << 16
_PROGRESS = re.compile(r"([0-9]{1,9}) ([0-9]{1,9}) (.*)", re.ASCII)


class Connections:
    """The ssh processes of all hosts, which end together when nobody waits any more."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process in; one that comes too late ends at once."""
        with self._lock:
            self._processes.append(process)
            if self._ended:
                kill(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Forget a process that has ended: its number may soon be another's."""
        with self._lock:
            self._processes.remove(process)

    def end(self) -> None:
        """End those that are there, and those still to come."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                kill(process)


@dataclass
class _Talk:
    """What has been heard of a board so far."""

    host: str
    process: subprocess.Popen[bytes]
    on_progress: OnProgress
    note: Note
    most: int
    last_line: deque[str] = field(default_factory=lambda: deque(maxlen=1))
    answer: bytes = b""
    given_up: str | None = None
    over: Event = field(default_factory=Event)
    life: float = field(default_factory=time.monotonic)
    news: float = field(default_factory=time.monotonic)

    def tell(self, stream: IO[bytes], data: bytes) -> None:
        """Send the request; a slow line shows life by taking more of it."""
        # Where ssh is gone already, its standard error says why.
        with contextlib.suppress(OSError, ValueError):
            for at in range(0, len(data), _PIECE):
                stream.write(data[at : at + _PIECE])
                stream.flush()
                self.life = self.news = time.monotonic()

    def take(self, stream: IO[bytes]) -> None:
        """Read the answer to its end."""
        with contextlib.suppress(OSError, ValueError):
            self.answer = stream.read(self.most)
        if len(self.answer) == self.most:
            self._give_up(f"answered more than {self.most >> 20} MiB")

    def listen(self, stream: IO[bytes]) -> None:
        """Hear what a board says besides, line by line."""
        heard = 0
        with contextlib.suppress(OSError, ValueError):
            while raw := stream.readline(_PIECE):
                heard += len(raw)
                if heard > self.most:
                    self._give_up(f"said more than {self.most >> 20} MiB")
                    return
                self.life = time.monotonic()
                self._understand(raw.decode(errors="replace").strip())

    def _understand(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        if kind == "@progress" and (told := _PROGRESS.fullmatch(rest)):
            self.news = time.monotonic()
            self.on_progress(self.host, BenchProgress(int(told[1]), int(told[2]), told[3][:200]))
        elif kind == "@note":
            self.news = time.monotonic()
            self.note(f"{self.host}: {rest[:1000]}")
        elif kind not in ("", "@alive"):
            self.last_line.append(line[:200])

    def watch(self) -> None:
        """Give up a board that says nothing for too long."""
        while not self.over.wait(min(_SILENCE_S, _STANDSTILL_S) / 20):
            now = time.monotonic()
            if now - self.life > _SILENCE_S:
                self._give_up(f"said nothing for {_SILENCE_S:.0f} s")
            elif now - self.news > _STANDSTILL_S:
                self._give_up(f"made no progress for {_STANDSTILL_S:.0f} s")

    def _give_up(self, why: str) -> None:
        self.given_up = self.given_up or why
        kill(self.process)


def talk(
    host: str,
    command: Sequence[str],
    data: bytes,
    connections: Connections,
    on_progress: OnProgress = lambda host, progress: None,
    note: Note = lambda message: None,
) -> BenchReport:
    """Send a board its request and return its report.

    Args:
        host: its name in messages.
        command: what reaches it, an ssh with its arguments.
        data: the request.
        connections: takes the process in.
        on_progress: told how far the board is, from another thread.
        note: told what it does besides.

    Raises:
        RemoteFailed: it cannot be reached, cannot do it, answers something else, or nothing.
    """
    # A session of its own, so that what ssh has started ends with it.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    connections.add(process)
    assert process.stdin and process.stdout and process.stderr
    heard = _Talk(host, process, on_progress, note, Limit.TEXT.bytes)
    # Each in a thread: a board that talks before it listens would have both wait for ever.
    threads = [
        Thread(target=heard.take, args=(process.stdout,), daemon=True),
        Thread(target=heard.listen, args=(process.stderr,), daemon=True),
        Thread(target=heard.tell, args=(process.stdin, data), daemon=True),
        Thread(target=heard.watch, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        # Standard input stays open: its end tells the board that nobody waits any more.
        while threads[0].is_alive() and not heard.given_up:
            threads[0].join(0.5)
        code = process.wait()
    finally:
        heard.over.set()
        kill(process)
        process.wait()
        connections.remove(process)
        for thread in threads:
            thread.join(_LINGER_S)
        if not any(thread.is_alive() for thread in threads):
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):
                    stream.close()
    if heard.given_up:
        raise RemoteFailed(f"{host}: {heard.given_up}")
    return read_answer(host, heard.answer.decode(errors="replace"), code, list(heard.last_line))


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    process.kill()
    # Also where it has ended itself: what it started may hold its streams.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def read_answer(host: str, answer: str, code: int, lines: Sequence[str]) -> BenchReport:
    """Return the report in a board's answer.

    Args:
        host: its name in messages.
        answer: what it wrote to its standard output.
        code: how ssh ended.
        lines: the last of what else it said.

    Raises:
        RemoteFailed: there is none in it.
    """
    last = lines[-1] if lines else "no message"
    if code == 255:
        raise ssh_failed(host, last)
    if code == 127:
        raise RemoteFailed(f"{host}: has no python3; install it there")
    try:
        content = json.loads(answer.splitlines()[-1])
    except (*PARSE_ERRORS, IndexError):
        raise RemoteFailed(f"{host}: ended with code {code}: {last}") from None
    if not isinstance(content, dict):
        raise RemoteFailed(f"{host}: answered something else ({str(content)[:60]})")
    if "error" in content:
        said = f" ({last})" if lines else ""
        raise RemoteFailed(f"{host}: {str(content['error'])[:1000]}{said}")
    try:
        return BenchReport.from_dict(content["report"])
    except (*PARSE_ERRORS, InputError) as error:
        raise RemoteFailed(f"{host}: answered something else ({error})") from error
