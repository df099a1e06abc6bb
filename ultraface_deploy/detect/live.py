"""Streams from the network: the newest picture, not the oldest that has not been looked at yet."""

# Tested by tests/detect/test_sources.py.

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ultraface_deploy.detect.interlaced import told_of
from ultraface_deploy.detect.shape import pixel_aspect
from ultraface_deploy.detect.whole import is_whole, seconds_at
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.overheard import overhear

# Pictures that wait to be looked at. More would only be older.
_QUEUE = 2
_OPEN_MS = 5_000
_READ_MS = 5_000
_RETRY_S = 0.5
# After a name, or in the place of one.
_QUERY_VALUE = re.compile(r"(?<==)(?!\d{1,2}$).+|^[^=]+$")


def shown_url(url: str) -> str:
    """Return a URL as it may be printed: without user name, password and tokens.

    A password may hold an @ or a slash, so that all before the last @ is hidden. Of a query the
    names stay and numbers of two digits, which choose a channel.
    """
    scheme, mark, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    place, question, query = place.partition("?")
    parts = [_QUERY_VALUE.sub("***", part) for part in query.split("&")]
    return f"{scheme}{mark}{'***' * bool(at)}{at}{place}{question}{'&'.join(parts)}"


class Arrivals:
    """When each picture of a camera or stream came, in seconds from the first one.

    Our clock: what a stream says of its times begins anew whenever it is connected to again.
    """

    def __init__(self) -> None:
        self._first: float | None = None

    def now(self) -> float:
        """Return the time of a picture that has just come."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
        return now - self._first


class LiveStream:
    """Reads a stream in a thread of its own, connects again when it breaks, drops what is old.

    Iterating gives (index, image, time): the number of the picture in the stream, with gaps where
    pictures were dropped, and when it came, in seconds from the first one. Something of known
    length, such as a video on a web server, loses none, and has its own times.
    After `patience` seconds without a picture the iteration ends and `problem` says why.
    """

    def __init__(self, url: str, patience: float) -> None:
        self._url, self._patience = url, patience
        self._waiting: deque[tuple[int, Any, float]] = deque()
        self._arrivals = Arrivals()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="stream", daemon=True)
        self.problem: str | None = None
        self.fps = 0.0
        """What the stream says of its rate; known with the first picture."""
        self.pixel = 1.0
        """How many times as wide as high its pixels are shown; known with the first picture."""
        self.finite = False
        """Whether it has a known length; known with the first picture."""
        self.dropped = 0
        """How many pictures were passed over."""

    def __enter__(self) -> LiveStream:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=(_OPEN_MS + _READ_MS) / 1000)

    def __iter__(self) -> Iterator[tuple[int, Any, float]]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                picture = self._waiting.popleft()
                self._changed.notify_all()
            yield picture

    def _read(self) -> None:
        index, last, connected = 0, time.monotonic(), False
        while not self._closed:
            capture = _connect(self._url)
            ended = False
            if capture.isOpened():
                count, shown = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0.0
                self.finite = count > 0
                self.fps = max(0.0, capture.get(cv2.CAP_PROP_FPS))
                self.pixel = pixel_aspect(capture)
                for image in self._pictures(capture):
                    connected, last = True, time.monotonic()
                    shown = seconds_at(capture) if self.finite else self._arrivals.now()
                    self._put(index, image, shown)
                    index += 1
                ended = self.finite and connected
                if ended and not (self._closed or is_whole(None, capture, index, count, shown)):
                    self.problem = "broke off"
            capture.release()
            if ended or self.problem is not None:
                break
            if time.monotonic() - last > self._patience:
                self.problem = "the stream broke off" if connected else "cannot be reached"
                self.problem += f" and gave nothing for {self._patience:g} s,"
                break
            time.sleep(_RETRY_S)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _pictures(self, capture: cv2.VideoCapture) -> Iterator[Any]:
        """Yield the pictures of a connection, none where OpenCV would return others."""
        image, said = overhear(lambda: _grab(capture))
        if (problem := told_of(said)) is not None:
            self.problem = f"{problem}, given up"
            return
        while not self._closed and image is not None:
            yield image
            image = _grab(capture)

    def _put(self, index: int, image: Any, shown: float) -> None:
        with self._changed:
            if self.finite:
                self._changed.wait_for(lambda: len(self._waiting) < _QUEUE or self._closed)
            elif len(self._waiting) >= _QUEUE:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append((index, image, shown))
            self._changed.notify_all()


def _connect(url: str) -> cv2.VideoCapture:
    try:
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_MS,
        ]
        return cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    except cv2.error:
        return cv2.VideoCapture()


def _grab(capture: cv2.VideoCapture) -> Any:
    try:
        read, image = capture.read()
    except cv2.error:
        return None
    return image if read and image is not None and image.size else None
