"""The thread that reads the source, for ever: a source that dies is opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.shape import squared
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import Image
from ultraface_deploy.serve.latest import Slot

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
# A stream connects again by itself; after so long without a picture it is opened from the start.
_PATIENCE_S = 10.0
# Longer than any pause between the pictures of a camera.
_SILENT_S = 3.0
# Of a video that does not say.
_USUAL_FPS = 25.0
# Between two pictures of a video; what seems longer is a clock that jumped.
_LONGEST_STILL_S = 60.0


@dataclass(frozen=True)
class Picture:
    """A picture of the source, (H, W, 3) uint8 BGR, and when it came."""

    image: Image
    at: float
    read_s: float | None
    """Seconds it took to read and decode; None of cameras and streams, where most is waiting."""
    unix_time: float = field(default_factory=time.time)
    """When it came, for those who have another clock."""


@dataclass(frozen=True)
class State:
    """How the source is: `reason` says why it gives no picture."""

    name: Literal["starting", "running", "waiting"]
    reason: str | None = None


def open_live(text: str) -> FrameSource:
    """Recognise a source that can be watched: a camera, a stream, a video, an animation.

    Raises:
        InputError: it is something else, or cannot be opened.
    """
    source = open_source(text, patience=_PATIENCE_S)
    if source.kind == "images":
        raise InputError(
            f"`source` {text}: serve watches a camera, a stream or a video; "
            "use detect for pictures, or POST them to /v1/detect"
        )
    return source


class _Pace:
    """When each picture of a video is due: as the file says, else one after the other."""

    def __init__(self, begin: float, usual_s: float) -> None:
        self._begin, self._usual_s = begin, usual_s
        self._from: float | None = None
        self.next = begin
        """When the picture is over that was asked for last."""

    def due(self, frame: Frame) -> float:
        due = self.next
        if frame.time is not None:
            if self._from is None:
                self._from = frame.time
            due = self._begin + frame.time - self._from
            if not -_LONGEST_STILL_S < due - self.next < _LONGEST_STILL_S:  # its clock jumped
                self._from, due = frame.time - (self.next - self._begin), self.next
        self.next = due + (frame.lasts or self._usual_s)
        return due


class Feed:
    """Reads a source in a thread and leaves its newest picture in a slot.

    A video is played at its own speed and begins again at its end. Whatever breaks is opened again,
    after a pause that doubles up to half a minute.
    """

    def __init__(
        self,
        source: FrameSource,
        slot: Slot[Picture],
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Prepare.

        Args:
            source: read from the start each time it is iterated.
            slot: where the pictures go.
            clock: tells seconds.
            wait: waits so many seconds; None for a wait that `close` ends.
        """
        self._source, self._slot, self._clock = source, slot, clock
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._last: float | None = None
        self._problem: str | None = None
        self.returns = 0
        """How often the source had to be opened again."""
        self._thread = threading.Thread(target=self.run, name="source", daemon=True)

    @property
    def state(self) -> State:
        """How the source is now."""
        silent = None if self._last is None else self._clock() - self._last
        # A stream whose picture nobody has taken yet is not silent: it is waiting for us.
        if silent is not None and (silent < _SILENT_S or self._slot.full):
            return State("running")
        if self._problem is None and silent is None:
            return State("starting")
        return State("waiting", self._problem or f"no picture for {silent:.0f} s")

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self, patience: float = 2.0) -> None:
        """End; a camera or network that hangs is left behind after so many seconds."""
        self._stopping.set()
        self._slot.close()
        if self._thread.is_alive():
            self._thread.join(patience)

    def run(self) -> None:
        """Read until `close`."""
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            delivered = self._read()
            if delivered and self._problem is None:
                continue  # a video from its beginning
            if self._stopping.is_set():
                return
            pause = _FIRST_PAUSE_S if delivered else pause
            self._wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            self.returns += 1

    def _read(self) -> int:
        """Read the source to its end and remember what was wrong; return how many pictures came."""
        delivered = 0
        source = self._source
        source.stopped = None
        before = self._clock()
        pace: _Pace | None = None
        played = source.kind in ("video", "animation")
        try:
            for frame in source:
                if self._stopping.is_set():
                    return delivered
                took = self._clock() - before if played else None
                # A video on a web server is read ahead by a thread of its own.
                paced = played or source.finite
                if paced:
                    # Begins with the first picture: a web server may take its time until then.
                    pace = pace or _Pace(self._clock(), 1 / (source.fps or _USUAL_FPS))
                    self._wait(max(0.0, pace.due(frame) - self._clock()))
                now = self._clock()
                self._slot.put(Picture(squared(frame.image, frame.pixel), now, took))
                self._last, self._problem = now, None
                delivered += 1
                if source.kind == "stream" and not paced:
                    # It drops what is old itself.
                    self._slot.wait_until_taken()
                before = self._clock()
            if pace is not None:
                self._wait(max(0.0, pace.next - self._clock()))
            self._problem = source.stopped
            if not delivered and self._problem is None:
                self._problem = "it has no pictures"
        except Exception as error:  # of a driver, too: whatever it is, the source is tried again
            self._problem = str(error) or type(error).__name__
        return delivered
