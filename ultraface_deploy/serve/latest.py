"""Handing on the newest value: what nobody took in time is dropped, nothing queues."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Closed(Exception):  # noqa: N818 - no error
    """Nothing more will come."""


class Slot(Generic[Value]):
    """Room for one value between two threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: Value | None = None
        self._closed = False
        self.dropped = 0
        """How many values were replaced before they were taken."""

    @property
    def full(self) -> bool:
        """Whether a value is there that nobody took yet."""
        return self._value is not None

    def put(self, value: Value) -> None:
        """Leave a value, in place of one that is still there."""
        with self._changed:
            self.dropped += self._value is not None
            self._value = value
            self._changed.notify_all()

    def wait_until_taken(self) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._value is None or self._closed)

    def take(self) -> Value:
        """Wait for a value and take it.

        Raises:
            Closed: nobody will leave one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or self._closed)
            if self._closed or self._value is None:
                raise Closed
            value, self._value = self._value, None
            self._changed.notify_all()
            return value

    def close(self) -> None:
        """Let go of who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Newest(Generic[Value]):
    """The newest value for any number of coroutines.

    Publishing costs the same for one waiting coroutine as for a thousand.
    """

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._held: tuple[int, Value | None] = (0, None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._waking = False
        self._closed = False

    @property
    def value(self) -> Value | None:
        """The newest value, None before the first."""
        return self._held[1]

    @property
    def number(self) -> int:
        """How many values there were."""
        return self._held[0]

    def attach(self) -> None:
        """Wake those who wait in the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def publish(self, value: Value) -> None:
        """Replace the value, from any thread."""
        with self._alone:
            self._held = (self._held[0] + 1, value)
            wake, self._waking = self._loop is not None and not self._waking, True
        if self._loop is not None and wake:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake)

    async def newer(self, number: int) -> tuple[int, Value]:
        """Wait for a newer value than that of a number; 0 is before the first.

        Returns:
            The newest value, and its number.

        Raises:
            Closed: there will be none.
        """
        while self._held[0] <= number and not self._closed:
            await self._event.wait()
        newest, value = self._held
        if self._closed or value is None:
            raise Closed
        return newest, value

    def close(self) -> None:
        """Let go of who waits; in the event loop."""
        self._closed = True
        self._event.set()

    def _wake(self) -> None:
        self._waking = False
        if not self._closed:
            # Those who wait keep the old one.
            self._event.set()
            self._event = asyncio.Event()
