"""What is sent without end: the picture as MJPEG, faces and numbers as server-sent events."""

# Tested by tests/serve/test_app.py.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ultraface_deploy.serve.latest import Closed, Newest

MOST_VIEWERS = 256
"""So many streams are sent at once; who comes later is told to come again."""
BOUNDARY = "picture"


@dataclass
class Viewers:
    """Those who get a stream of one kind. All together they are sent so many parts a second.

    So what they cost does not grow with their number: with many, each gets fewer.
    """

    parts_per_second: float
    number: int = 0

    @property
    def apart(self) -> float:
        """Seconds between two parts for one of them."""
        return self.number / self.parts_per_second


class Stream(StreamingResponse):
    """Sends parts until the client has enough, and counts it meanwhile.

    Sending waits for the client, and then goes on with the newest part.
    """

    def __init__(self, parts: AsyncIterator[bytes], viewers: Viewers, media_type: str) -> None:
        super().__init__(parts, media_type=media_type)
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send."""
        self._viewers.number += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._viewers.number -= 1


def open_stream(
    parts: Callable[[Viewers], AsyncIterator[bytes]],
    viewers: Viewers,
    media_type: str,
    method: str,
) -> Response:
    """Return a stream, or the answer that there are too many viewers already."""
    if method == "HEAD":
        return Response(media_type=media_type)
    if viewers.number >= MOST_VIEWERS:
        return busy(f"{MOST_VIEWERS} viewers are here already", seconds=10)
    return Stream(parts(viewers), viewers, media_type)


def busy(problem: str, seconds: int) -> JSONResponse:
    """Return the answer to come again after so many seconds."""
    return JSONResponse({"error": problem}, 503, {"retry-after": str(seconds)})


class Bounded:
    """Lets so many requests be under way at once; streams are, as long as they last."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._free = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or send it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._free == 0:
            await busy("too many requests at once", seconds=1)(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._free += 1


async def jpeg_parts(pictures: Newest[tuple[int, bytes]], viewers: Viewers) -> AsyncIterator[bytes]:
    """Yield the newest picture again and again, as a part of multipart/x-mixed-replace."""

    async def wait(number: int) -> tuple[int, bytes]:
        newest, (picture, jpeg) = await pictures.newer(number)
        head = (
            f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
            f"X-Picture: {picture}\r\n\r\n"
        )
        return newest, head.encode() + jpeg + b"\r\n"

    # What was encoded for the last viewer may be of long ago.
    async for part in _paced(wait, viewers, pictures.number):
        yield part


async def event_parts(
    events: Callable[[], Awaitable[bytes]], viewers: Viewers
) -> AsyncIterator[bytes]:
    """Yield what there is to tell, again and again, as server-sent events."""

    async def wait(number: int) -> tuple[int, bytes]:
        return number, await events()

    # A browser that has lost us asks again after so many milliseconds.
    yield b"retry: 2000\n\n"
    async for part in _paced(wait, viewers):
        yield part


async def _paced(
    wait: Callable[[int], Awaitable[tuple[int, bytes]]], viewers: Viewers, number: int = 0
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    while True:
        begin = clock()
        try:
            number, part = await wait(number)
        except Closed:
            return
        yield part
        rest = viewers.apart - (clock() - begin)
        if rest > 0:
            await asyncio.sleep(rest)


def event(name: str, text: str, number: int | None = None) -> bytes:
    """Return one server-sent event whose data is one line (HTML standard, 9.2)."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {text}\n\n".encode()
