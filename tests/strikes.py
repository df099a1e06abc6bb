"""A signal before each line in turn of some code; for tests that start another interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


class Strikes:
    """Sends this process a signal before the n-th line of the code that is meant.

    Args:
        number: of the signal.
        twice: whether to send one more before the next line, where the first was put off; one that
            raises ends the tracing.
        meant: says whose lines count.
    """

    def __init__(self, number: int, twice: bool, meant: Callable[[CodeType], bool]) -> None:
        self._number, self._meant = number, meant
        self._last = -1 if twice else 0
        self._left = 0

    def begin(self, line: int) -> None:
        """Count from here."""
        self._left = line
        sys.settrace(self._enter)

    def came(self) -> bool:
        """Stop counting; says whether there were as many lines."""
        sys.settrace(None)
        return self._left <= 0

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._count if self._meant(frame.f_code) else None

    def _count(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self._left -= 1
            if self._last <= self._left <= 0:
                os.kill(os.getpid(), self._number)
        return self._count
