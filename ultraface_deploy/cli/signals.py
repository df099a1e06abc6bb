"""What Ctrl-C and the system's request to end do: an exception, so that all is cleared away."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from types import FrameType
from typing import NoReturn

from ultraface_deploy.safe.files import UNDISTURBED

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
    let_go(told)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise AssertionError(f"a process outlived signal {number}")


def ignore() -> None:
    """Take no more signals: all is cleared away, and Python's own end has no place for them."""
    for number in _MEANING:
        signal.signal(number, signal.SIG_IGN)


def let_go(told: BaseException) -> None:
    """Close what a signal met on its way into a context or out of it: a frame still holds it."""
    traceback.clear_frames(told.__traceback__)


def _end(number: int, frame: FrameType | None) -> None:
    if _is_ending():
        return
    if _must_not_end_here(frame):
        again = threading.Timer(_LATER_S, os.kill, (os.getpid(), number))
        again.daemon = True  # a process that has ended by then was to end
        again.start()
        return
    raise _MEANING[signal.Signals(number)](number)


def _is_ending() -> bool:
    """Whether a signal came before, and things are being cleared away.

    A terminal that closes sends two, people press Ctrl-C twice: that must not end the clearing.
    """
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Interrupted | Terminated):
        error = error.__context__
    return error is not None


def _must_not_end_here(frame: FrameType | None) -> bool:
    """Whether an exception would be lost here, or a file or folder that is nobody's yet.

    `tempfile` and others make one and then note who removes it; of what a `__del__` raises Python
    prints a line and goes on.
    """
    while frame is not None:
        code = frame.f_code
        if frame.f_globals.get("__name__") == "tempfile" or code in UNDISTURBED:
            return True
        if code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
