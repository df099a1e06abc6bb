"""What Ctrl-C and the system's request to end do: an exception, so that all is cleared away."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import NoReturn

# Short beside what a person notices, long beside the making of a file.
_LATER_S = 0.01


class Interrupted(BaseException):
    """Ctrl-C. Not KeyboardInterrupt, which some versions of typer turn into exit code 1."""


class Terminated(BaseException):
    """SIGTERM, as the system sends it when it shuts down, or SIGHUP: the terminal is gone."""


_MEANING: dict[signal.Signals, type[BaseException]] = {
    signal.SIGINT: Interrupted,
    signal.SIGTERM: Terminated,
    signal.SIGHUP: Terminated,
}


def arrange() -> None:
    """Let the signals raise their exception in the main thread; `nohup` keeps SIGHUP away."""
    for number in _MEANING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def end_as_told(told: Terminated) -> NoReturn:
    """End by the signal itself: whoever sent it sees a process that it has ended."""
    (number,) = told.args
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise AssertionError(f"a process outlived signal {number}")


def _end(number: int, frame: FrameType | None) -> None:
    if _makes_or_clears(frame):
        again = threading.Timer(_LATER_S, os.kill, (os.getpid(), number))
        again.daemon = True  # a process that has ended by then was to end
        again.start()
        return
    raise _MEANING[signal.Signals(number)](number)


def _makes_or_clears(frame: FrameType | None) -> bool:
    """Whether `tempfile` is at work: between making a file and noting who removes it, or removing.

    An exception there would leave the file behind, which is nobody's yet.
    """
    while frame is not None:
        if frame.f_globals.get("__name__") == "tempfile":
            return True
        frame = frame.f_back
    return False
