"""A download that takes too long, or of which too little arrives, is ended.

The time-out of a socket begins anew with each byte, and a server may send headers, or `100
Continue`, for ever. So a thread looks on, and shuts the connection down.
"""

# Tested by tests/models/test_pull.py.

from __future__ import annotations

import socket
import time
import urllib.request
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from threading import Event, Thread
from types import TracebackType
from typing import Any
from urllib.request import Request

_MOST_S = 1800.0
"""For one download, however steadily it comes."""
_WINDOW_S = 30.0
_LEAST_BYTES = 16 << 10
"""In each window. Half a kilobyte a second is less than any modem's."""


class Pace:
    """Watches the connections of one download while it is entered."""

    def __init__(self) -> None:
        self.ended: str | None = None
        """Why the download was ended, None as long as it was not."""
        self._bytes = 0
        self._socket: socket.socket | None = None
        self._done = Event()
        self._thread = Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def count(self, number: int) -> None:
        """Say that so many bytes of the file have arrived."""
        self._bytes += number

    def watch(self, connected: socket.socket) -> None:
        """Take over a new connection.

        Raises:
            OSError: the download is at its end already.
        """
        self._socket = connected
        self.check()

    def check(self) -> None:
        """Refuse to go on with a download that was ended.

        Raises:
            OSError: says why it was.
        """
        if self.ended:
            raise OSError(self.ended)

    def _look_on(self) -> None:
        started = time.monotonic()
        before = 0
        while not self._done.wait(_WINDOW_S):
            if self._bytes - before < _LEAST_BYTES:
                self.ended = f"less than {_LEAST_BYTES >> 10} KiB in {_WINDOW_S:.0f} s"
            elif time.monotonic() - started > _MOST_S:
                self.ended = f"not done within {_MOST_S:.0f} s"
            if self.ended:
                self._shut_down()
                return
            before = self._bytes

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed
                # Not the method of an SSL socket, which another thread reads from right now.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Watched(HTTPConnection):
    """A connection that shows its socket to a `Pace`."""

    def __init__(self, *arguments: Any, pace: Pace, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pace = pace

    def connect(self) -> None:
        super().connect()
        self._pace.watch(self.sock)


class _WatchedTLS(_Watched, HTTPSConnection):
    """The same for https."""


class HTTPHandler(urllib.request.HTTPHandler):
    """Opens `http:` addresses under the eyes of a `Pace`."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, req: Request) -> HTTPResponse:
        """Open an address, as `urllib.request` asks."""
        return self.do_open(partial(_Watched, pace=self._pace), req)


class HTTPSHandler(urllib.request.HTTPSHandler):
    """Opens `https:` addresses under the eyes of a `Pace`."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def https_open(self, req: Request) -> HTTPResponse:
        """Open an address, as `urllib.request` asks."""
        return self.do_open(partial(_WatchedTLS, pace=self._pace), req)
