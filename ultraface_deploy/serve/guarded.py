"""Connections that do nothing are ended: half a request, or a reader that reads no more."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""Within so much time after it connected, or after its last answer, a client has asked whole."""
STALLED_S = 30.0
"""A client takes something within so much time."""


class Guarded(H11Protocol):
    """Speaks HTTP as uvicorn does, and waits for nobody without end."""

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        if not self._waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self._waiting and not self.transport.is_closing():
            self._expect_request()

    def pause_writing(self) -> None:
        """Wait for the reader."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._cancel("_stalled")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._cancel("_stalled")
        self._cancel("_deadline")
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End; a reader that reads no more is not waited for."""
        if self._stalled is not None or (self._waiting and self.cycle is None):
            self.transport.abort()
        else:
            super().shutdown()

    @property
    def _waiting(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _expect_request(self) -> None:
        self._cancel("_deadline")
        self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _cancel(self, name: str) -> None:
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)
