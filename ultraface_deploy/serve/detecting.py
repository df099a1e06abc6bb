"""`POST /v1/detect`: a picture in, its faces out; bounded in size, time and number."""

# Tested by tests/serve/test_app.py.

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.images import decode_picture
from ultraface_deploy.serve.looking import Look, face_records
from ultraface_deploy.serve.metrics import Metrics
from ultraface_deploy.serve.streams import busy

_SEND = "send the picture itself as the body: curl --data-binary @picture.jpg"
_MB = 1 << 20
_CHUNK_S, _BODY_S = 10.0, 60.0
# What a client that is sent away shall wait: a picture or two are done by then.
_RETRY_S = 1


class _Busy(Exception):  # noqa: N818 - no error
    """There is no room for another picture now."""


class Detecting:
    """Answers with the faces of pictures that are sent in.

    One thread with a detector of its own takes one after the other, so that the live view has the
    rest of the machine. At most `at_once` whole pictures wait for it, and no more than as many
    times `most_mb` is held of all that arrive, which bounds the memory: who sends half a picture
    holds that half and keeps nobody out. More are answered with 503. No picture is kept.
    """

    def __init__(
        self, look: Look, threshold: float, metrics: Metrics, most_mb: int = 16, at_once: int = 8
    ) -> None:
        self._look, self._threshold, self._metrics = look, threshold, metrics
        self._most, self._free = most_mb * _MB, at_once
        self._room = at_once * self._most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="detecting")

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        body = bytearray()
        try:
            response = await self._answer(request, body)
        except _Busy:
            response = busy("too many pictures at once", _RETRY_S)
        except (HTTPException, InputError, MissingDependency) as error:
            response = _refusal(error)
        finally:
            self._room += len(body)
        self._metrics.answered(response.status_code)
        return response

    def close(self) -> None:
        """End after the picture under way."""
        self._thread.shutdown(cancel_futures=True)

    async def _answer(self, request: Request, body: bytearray) -> Response:
        threshold = read_threshold(request, self._threshold)
        await self._receive(request, body)
        if not body:
            raise HTTPException(400, f"nothing was sent; {_SEND}")
        if self._free == 0:
            raise _Busy
        self._free -= 1
        try:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._thread, self._detect, bytes(body), threshold)
            return JSONResponse(await work)
        finally:
            self._free += 1

    async def _receive(self, request: Request, body: bytearray) -> None:
        """Read what is sent into `body`, no more and no longer than allowed."""
        self._refuse_unread(request)
        chunks, end = aiter(request.stream()), time.monotonic() + _BODY_S
        while True:
            left = min(_CHUNK_S, end - time.monotonic())
            try:
                chunk = await asyncio.wait_for(anext(chunks), max(left, 0))
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError as error:
                raise HTTPException(408, "the picture did not arrive in time") from error
            except ClientDisconnect as error:
                raise HTTPException(400, "the picture did not arrive whole") from error
            if len(body) + len(chunk) > self._most:
                raise self._too_large()
            if len(chunk) > self._room:
                raise _Busy
            body += chunk
            self._room -= len(chunk)

    def _refuse_unread(self, request: Request) -> None:
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(415, _SEND)
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            # RFC 9110, 15.5.16: the header tells what would have been taken.
            headers = {"accept-encoding": "identity"}
            raise HTTPException(415, f"Content-Encoding {coding}: {_SEND}", headers)
        stated = request.headers.get("content-length", "0")
        if not (stated.isascii() and stated.isdecimal()):
            raise HTTPException(400, "Content-Length is no number")
        if len(stated) > 12 or int(stated) > self._most:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the picture has more than {self._most // _MB} MiB")

    def _detect(self, body: bytes, threshold: float) -> dict[str, Any]:
        begin = time.perf_counter()
        picture = decode_picture(body, "the picture")
        decoded = time.perf_counter() - begin
        faces, stages = self._look(picture.image, threshold)
        height, width = picture.image.shape[:2]
        seconds = {"decode": decoded, **stages}
        return {
            "schema": 1,
            "width": width,
            "height": height,
            "faces": face_records(faces),
            "damage": picture.damage,
            "milliseconds": {name: round(1000 * value, 3) for name, value in seconds.items()},
        }


def read_threshold(request: Request, default: float) -> float:
    """Return the `threshold` of a request's query.

    Raises:
        HTTPException: it is no number from 0 to 1.
    """
    text = request.query_params.get("threshold")
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise HTTPException(400, "threshold: give a number from 0 to 1")
    return value


def _refusal(error: HTTPException | InputError | MissingDependency) -> JSONResponse:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    status = 400 if isinstance(error, InputError) else 501
    return JSONResponse({"error": str(error)}, status)
