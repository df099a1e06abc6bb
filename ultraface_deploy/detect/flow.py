"""Several pictures at a time: read, looked at and prepared in threads, handed on in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.frames import Frame, Pending, Read, Stopped, Unread
from ultraface_deploy.detect.sink import Sink
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.opencv import cv2

# Pictures under way per worker: one that is worked on and one that waits for its turn.
_AHEAD = 2
# A camera or a network drive may hold a thread this long after everybody else has stopped.
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Done:
    """A picture with its faces, and what each sink needs of it."""

    frame: Frame
    faces: Faces
    prepared: list[Any]


# What became of a picture, or what was raised on the way.
_Outcome = Done | Unread | Stopped | BaseException


def looked_at(read: Read, detector: Detector, sinks: Sequence[Sink]) -> Done | Unread | Stopped:
    """Look at a picture that was read, and prepare what each sink needs of it."""
    if isinstance(read, Unread | Stopped):
        return read
    faces = detector.detect(read.image, read.reduction, read.pixel)
    return Done(read, faces, [sink.prepare(read, faces) for sink in sinks])


class Flow:
    """Works on several pictures at a time, one per employed detector, and yields them in order.

    Each worker takes a free detector and the source's next picture, which of a video is decoded
    then, and does everything that needs no order: nothing is handed from thread to thread but the
    result. Memory is bounded: workers wait while twice as many pictures as workers are under way.
    What a worker raises is raised where its picture's turn comes. Leaving the context ends all
    threads.
    """

    def __init__(
        self,
        detector: Detector,
        another: Callable[[], Detector],
        most: int,
        frames: FrameSource,
        sinks: Sequence[Sink],
        limit: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            detector: the first; it stays open.
            another: opens a further one.
            most: how many will be employed at most.
            frames: the source.
            sinks: what prepares each result.
            limit: frames after which the caller stops; a camera is not asked for more.
        """
        self._sinks, self._another = sinks, another
        self._opened: list[Detector] = []
        self._idle = [detector]
        self._employed = 0
        # Queues of C's own kind: where a picture takes milliseconds, others are felt.
        self._free: SimpleQueue[Detector | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        # The caller holds one more.
        for _ in range(_AHEAD * most + 1):
            self._room.put(None)
        self._ordered: SimpleQueue[SimpleQueue[_Outcome] | None] = SimpleQueue()
        self._reading = threading.Lock()
        self._pending = frames.pending()
        # Of pictures some may be unreadable, which do not count.
        counts = frames.kind not in ("images", "several")
        self._next = islice(self._pending, limit if counts else None)
        self._stopping = False
        self._workers = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            for number in range(most)
        ]

    def employ(self, number: int) -> None:
        """Work on so many pictures at a time from now on; opens detectors where there are fewer."""
        while self._employed < number:
            if not self._idle:
                self._opened.append(self._another())
                self._idle.append(self._opened[-1])
            self._free.put(self._idle.pop())
            self._employed += 1
        while self._employed > number:
            if (detector := self._free.get()) is not None:
                self._idle.append(detector)
            self._employed -= 1

    def __enter__(self) -> Flow:
        # OpenCV's own threads would contend with the workers for the cores.
        self._threads_of_opencv = cv2.getNumThreads() if opencv.available() else 0
        _set_threads_of_opencv(min(1, self._threads_of_opencv))
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        for _ in self._workers:
            self._room.put(None)
            self._free.put(None)
        end = time.monotonic() + _PATIENCE_S
        for worker in self._workers:
            worker.join(max(0.0, end - time.monotonic()))
        # Whoever still waits for a picture closes the source when it has come.
        if self._reading.acquire(blocking=False):
            self._pending.close()
            self._reading.release()
        for detector in self._opened:
            detector.close()
        _set_threads_of_opencv(self._threads_of_opencv)

    def __iter__(self) -> Iterator[Done | Unread | Stopped]:
        while (outcome := self._ordered.get()) is not None:
            done = outcome.get()
            if isinstance(done, BaseException):
                raise done
            yield done
            self._room.put(None)

    def _work(self) -> None:
        while True:
            self._room.get()
            # The detector first: without one nothing is read, or memory would fill.
            if (detector := self._free.get()) is None or self._stopping:
                return
            outcome: SimpleQueue[_Outcome] = SimpleQueue()
            try:
                if (read := self._take(outcome)) is None:
                    return
                outcome.put(looked_at(read(), detector, self._sinks))
            except BaseException as error:
                outcome.put(error)
            finally:
                self._free.put(detector)

    def _take(self, outcome: SimpleQueue[_Outcome]) -> Pending | None:
        """Take the next picture and its place in the order; None where there is no more."""
        with self._reading:
            try:
                read = next(self._next, None)
            except BaseException:
                self._ordered.put(outcome)
                raise
            self._ordered.put(None if read is None else outcome)
            if self._stopping:
                self._pending.close()
            return read


def _set_threads_of_opencv(number: int) -> None:
    if number:
        cv2.setNumThreads(number)
