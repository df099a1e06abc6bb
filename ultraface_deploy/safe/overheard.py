"""What native code writes to standard error about one call, also while several threads call."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

# What is told as a message of ours: of libjpeg, and of FFmpeg's conversion of interlaced videos.
_KNOWN = re.compile(r"JPEG|Cannot convert interlaced|\(Invalid argument\): fmt:")


def overhear(call: Callable[[], Result]) -> tuple[Result, str]:
    """Call something, and return what native code wrote to standard error meanwhile.

    Threads may do so at once. Standard error belongs to the whole process, so a text is surely of
    one call only where no other was under way: a call during which others ran and something was
    written is made once more, alone. What the callers of this do not know is passed on.
    """
    with _EAR.turn(alone=False) as turn:
        result = call()
    if turn.text and not turn.alone:
        with _EAR.turn(alone=True) as turn:
            result = call()
    return result, turn.text


@dataclass
class _Turn:
    """One call: where its text begins, and whether no other was under way."""

    begin: int
    number: int
    alone: bool
    text: str = ""


class _Ear:
    """Holds descriptor 2 while at least one call is listened to."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._listening = 0
        self._wanting_alone = 0
        self._turns = 0
        self._file, self._process = -1, -1
        self._before: int | None = None
        self._passed_on = 0

    @contextmanager
    def turn(self, alone: bool) -> Iterator[_Turn]:
        """Listen during one call; with `alone` no other call is under way."""
        with self._changed:
            turn = self._begin(alone)
        try:
            yield turn
        finally:
            with self._changed:
                self._end(turn, alone)

    def _begin(self, alone: bool) -> _Turn:
        self._wanting_alone += alone
        try:
            self._changed.wait_for(lambda: not (self._listening if alone else self._wanting_alone))
            if not self._listening:
                self._catch()
        except BaseException:
            self._wanting_alone -= alone
            raise
        self._listening += 1
        self._turns += 1
        return _Turn(self._size(), self._turns, self._listening == 1)

    def _end(self, turn: _Turn, alone: bool) -> None:
        self._listening -= 1
        self._wanting_alone -= alone
        turn.alone &= self._turns == turn.number
        turn.text = self._text(turn.begin)
        self._pass_on()
        if not self._listening:
            self._let_go()
        self._changed.notify_all()

    def _catch(self) -> None:
        if self._process != os.getpid():
            # A forked child has its own standard error, and would write into its parent's file.
            self._process = os.getpid()
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        with suppress(OSError):  # there is no standard error
            self._before = os.dup(2)
            os.dup2(self._file, 2)

    def _let_go(self) -> None:
        if self._before is not None:
            os.dup2(self._before, 2)
            os.close(self._before)
            self._before = None
        if self._passed_on:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            self._passed_on = 0

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _text(self, begin: int) -> str:
        size = self._size() - begin
        return os.pread(self._file, size, begin).decode(errors="replace") if size else ""

    def _pass_on(self) -> None:
        new = self._text(self._passed_on)
        self._passed_on = self._size()
        other = "".join(line for line in new.splitlines(True) if not _KNOWN.search(line))
        if other and self._before is not None:
            os.write(self._before, other.encode())


_EAR = _Ear()
