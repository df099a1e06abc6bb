"""Which stream carries what: results, our notes, and what native code prints by itself."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any


class ReaderGone(BaseException):
    """Whoever read our results has read enough, as `head` does; no error."""


class _Results(io.RawIOBase):
    """Standard output of which a failure to write is told once, and never again at the end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._failed = False

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def write(self, content: Any) -> int:
        if self._failed:
            return memoryview(content).nbytes
        try:
            return os.write(self._descriptor, content)
        except OSError as error:
            self._failed = True
            if error.errno == errno.EPIPE:
                raise ReaderGone from error
            raise OSError(error.errno, error.strerror, "standard output") from error


def require_three() -> None:
    """Open what the caller has closed, or the next file that is opened would be standard output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Read only, where nothing can be written to: it is not where anybody looks.
            os.open(os.devnull, os.O_RDONLY)


def arrange(show_native: bool) -> None:
    """Keep standard output for results and standard error for our own notes.

    Native code (MNN, OpenCV, libjpeg) writes to file descriptors 1 and 2 by itself. Both are
    pointed elsewhere: to the terminal with `-v`, else nowhere; ours are copies made before.
    """
    if sys.stdout is sys.__stdout__:
        encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
        if sys.stdout is not None:
            sys.stdout.flush()
        raw = _Results(os.dup(1))
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=raw.isatty()
        )
        os.dup2(2, 1)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - as long as the process
    err = sys.stderr
    if not show_native and err is sys.__stderr__ and err is not None:
        err.flush()
        sys.stderr = os.fdopen(
            os.dup(2), "w", encoding=err.encoding, errors="backslashreplace", buffering=1
        )
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def finish() -> None:
    """Write out what still waits, while a failure can still be told.

    Raises:
        OSError: it cannot be written.
        ReaderGone: nobody reads it.
    """
    with suppress(ValueError):  # closed
        sys.stdout.flush()
