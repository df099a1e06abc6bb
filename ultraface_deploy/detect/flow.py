"""Several pictures at a time: read, looked at and prepared in threads, handed on in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from queue import Queue
from types import TracebackType
from typing import Any

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.frames import Frame, Pending, Stopped, Unread
from ultraface_deploy.detect.sink import Sink
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.pipeline import Faces

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


@dataclass
class _Task:
    read: Pending | None = None
    result: Future[Done | Unread | Stopped] = field(default_factory=Future)


class Flow:
    """Works on several pictures at a time, one per employed detector, and yields them in order.

    One thread goes through the source, which reads videos and cameras; each worker takes a free
    detector and the next picture, and does everything that needs no order. Memory is bounded: the
    source waits while twice as many pictures as workers are under way. What a worker raises is
    raised where its picture's turn comes. Leaving the context ends all threads.
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
        self._frames, self._sinks, self._limit = frames, sinks, limit
        self._another = another
        self._opened: list[Detector] = []
        self._idle = [detector]
        self._employed = 0
        self._free: Queue[Detector | None] = Queue()
        self._todo: Queue[_Task | None] = Queue()
        self._ordered: Queue[_Task | None] = Queue(_AHEAD * most)
        self._stopping = False
        self._source = threading.Thread(target=self._feed, name="source", daemon=True)
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
        for thread in (self._source, *self._workers):
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        # The source may wait for room.
        while not self._ordered.empty():
            self._ordered.get()
        for _ in self._workers:
            self._todo.put(None)
            self._free.put(None)
        for thread in (self._source, *self._workers):
            thread.join(_PATIENCE_S)
        for detector in self._opened:
            detector.close()

    def __iter__(self) -> Iterator[Done | Unread | Stopped]:
        while (task := self._ordered.get()) is not None:
            yield task.result.result()

    def _feed(self) -> None:
        try:
            # Of pictures some may be unreadable, which do not count.
            limit = None if self._frames.kind in ("images", "several") else self._limit
            with closing(self._frames.pending()) as pending:
                for read in islice(pending, limit):
                    task = _Task(read)
                    self._ordered.put(task)
                    if self._stopping:
                        break
                    self._todo.put(task)
        except BaseException as error:
            failed = _Task()
            failed.result.set_exception(error)
            self._ordered.put(failed)
        self._ordered.put(None)

    def _work(self) -> None:
        while (task := self._todo.get()) is not None:
            # The detector first: without one nothing is read, or memory would fill.
            if (detector := self._free.get()) is None or self._stopping:
                return
            try:
                task.result.set_result(self._done(task.read, detector))
            except BaseException as error:
                task.result.set_exception(error)
            self._free.put(detector)

    def _done(self, read: Pending | None, detector: Detector) -> Done | Unread | Stopped:
        assert read is not None
        if isinstance(frame := read(), Unread | Stopped):
            return frame
        faces = detector.detect(frame.image, frame.reduction)
        return Done(frame, faces, [sink.prepare(frame, faces) for sink in self._sinks])
