"""A source that is watched: its threads, what they see, and what the viewers are told of it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ultraface_deploy.detect.live import shown_url
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.errors import UltraFaceError
from ultraface_deploy.pipeline.resample import resize
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.images import Image, as_bgr, encode
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.serve.board import Board
from ultraface_deploy.serve.latest import Newest, Slot
from ultraface_deploy.serve.looking import Look, Looker, Seen
from ultraface_deploy.serve.metrics import Metrics
from ultraface_deploy.serve.source import Feed, Picture
from ultraface_deploy.serve.statistics import Statistics
from ultraface_deploy.serve.streams import Viewers, event

_log = logging.getLogger(__name__)
_STATUS_S = 1.0
_QUALITY = 80
# To all viewers together.
_PICTURES_PER_SECOND, _EVENTS_PER_SECOND = 300.0, 1000.0


@dataclass(frozen=True)
class Watched:
    """What is watched, and how: `name` as typed.

    `width` is the widest picture the viewers get; `most_a_second` so many pictures are looked at.
    """

    source: FrameSource
    name: str
    width: int = 1280
    most_a_second: float | None = None

    def shown(self, text: str | None) -> str | None:
        """Return what viewers may know: no secrets of an address, no folders of a file."""
        if text is None or self.source.kind in ("camera", "stream"):
            return text and text.replace(self.name, shown_url(self.name))
        file = Path(self.name)
        return text.replace(self.name, file.name).replace(str(file), file.name)


@dataclass(frozen=True)
class _Told:
    """What the listeners are told: the newest picture, and how everything is."""

    seen: Seen | None = None
    status: str | None = None


class Live:
    """A watched source. `open` starts its threads, in an event loop; `close` ends all streams."""

    def __init__(
        self,
        watched: Watched,
        look: Look,
        threshold: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watched = watched
        self.statistics = Statistics(metrics, clock)
        self._told: Newest[_Told] = Newest()
        self.pictures: Newest[tuple[int, bytes]] = Newest()
        self.watching = Viewers(_PICTURES_PER_SECOND)
        self.listening = Viewers(_EVENTS_PER_SECOND)
        self._slot: Slot[Picture] = Slot()
        self._feed = Feed(watched.source, self._slot, clock)
        self._looker = Looker(
            look,
            self._slot,
            lambda seen: self._told.publish(replace(self._newest, seen=seen)),
            self.statistics,
            threshold,
            watched.most_a_second,
            clock,
        )
        self._board = Board()
        self._coder = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._tasks: list[asyncio.Task[None]] = []
        self._gauges(metrics)

    def _gauges(self, metrics: Metrics) -> None:
        metrics.watch(
            "source_up", "Whether the source gives pictures.", lambda: float(self.running)
        )
        metrics.watch(
            "source_returns",
            "How often the source was opened again.",
            lambda: float(self._feed.returns),
        )
        metrics.watch(
            "pictures_dropped",
            "Pictures replaced by newer ones before anybody looked.",
            lambda: float(self._slot.dropped),
        )
        metrics.watch("viewers", "Who gets the picture.", lambda: float(self.watching.number))
        metrics.watch("listeners", "Who gets the faces.", lambda: float(self.listening.number))

    @property
    def _newest(self) -> _Told:
        return self._told.value or _Told()

    @property
    def running(self) -> bool:
        """Whether the source gives pictures that can be looked at."""
        return self._feed.state.name == "running" and self._looker.problem is None

    def open(self) -> None:
        """Start."""
        self._told.attach()
        self.pictures.attach()
        self._feed.start()
        self._looker.start()
        self._tasks = [
            asyncio.create_task(self._tell()),
            asyncio.create_task(self._show()),
        ]

    def end_streams(self) -> None:
        """Let the viewers go."""
        self._told.close()
        self.pictures.close()

    async def close(self) -> None:
        """End."""
        self.end_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The looker ends with the slot, which the feed closes.
        await asyncio.to_thread(self._feed.close)
        await asyncio.to_thread(self._looker.close)
        self._coder.shutdown()

    def status(self) -> dict[str, Any]:
        """Return how the source, the detection and the viewers are."""
        state, recent = self._feed.state, self.statistics.recent()
        problem = self._looker.problem
        return {
            "source": {
                "name": self.watched.shown(self.watched.name),
                "state": state.name if problem is None else "waiting",
                "reason": self.watched.shown(state.reason or problem),
                "returns": self._feed.returns,
            },
            "pictures_per_second": round(recent.pictures_per_second, 2),
            "faces_per_second": round(recent.faces_per_second, 2),
            "faces": recent.faces if self.running else 0,
            "dropped": self._slot.dropped,
            "milliseconds": recent.milliseconds,
            "viewers": self.watching.number,
        }

    async def whole_picture(self) -> tuple[int, bytes] | None:
        """Return the number of the newest picture and it as a JPEG; None before the first."""
        seen = self._newest.seen
        if seen is None:
            return None
        return seen.number, await self._in_coder(encode, seen.image, ".jpg")

    def events(self, threshold: float) -> Callable[[], Awaitable[bytes]]:
        """Return what waits for the next events of one listener, and returns them as text."""
        last, number = _Told(), 0

        async def wait() -> bytes:
            nonlocal last, number
            number, told = await self._told.newer(number)
            parts = []
            if told.status is not None and told.status is not last.status:
                parts.append(event("status", told.status))
            if told.seen is not None and told.seen is not last.seen:
                parts.append(event("faces", told.seen.text(threshold), told.seen.number))
            last = told
            return b"".join(parts)

        return wait

    async def _tell(self) -> None:
        """Publish once a second how everything is."""
        while True:
            status = {**self.status(), "board": self._board.read()}
            self._told.publish(replace(self._newest, status=json.dumps(status)))
            await asyncio.sleep(_STATUS_S)

    async def _show(self) -> None:
        """Encode the newest picture, while somebody looks, and publish it."""
        number, shown = 0, None
        while True:
            if not self.watching.number:
                await asyncio.sleep(0.05)
                continue
            number, told = await self._told.newer(number)
            if told.seen is None or told.seen is shown:
                continue
            seen = shown = told.seen
            begin = time.perf_counter()
            try:
                jpeg = await self._in_coder(_small_jpeg, seen.image, self.watched.width)
            except UltraFaceError as error:
                _log.warning("the viewers miss pictures: %s", error)
                continue
            self.statistics.encoded(time.perf_counter() - begin)
            self.pictures.publish((seen.number, jpeg))

    async def _in_coder(self, work: Callable[..., bytes], *arguments: Any) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._coder, work, *arguments)


def _small_jpeg(image: Image, most: int) -> bytes:
    height, width = image.shape[:2]
    if width > most:
        size = (most, max(1, round(height * most / width)))
        if opencv.available():
            image = as_bgr(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        else:
            image = resize(image, size)
    return encode(image, ".jpg", _QUALITY)
