"""Running detectors over frames: one picture after the other, or several at a time."""

# Tested by tests/detect/test_flow.py.

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.flow import Done, Flow, looked_at
from ultraface_deploy.detect.frames import Frame, Stopped, Unread
from ultraface_deploy.detect.sink import Sink, StopRequested
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.detect.workers import Trial, steps
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.files import UNDISTURBED


@dataclass(frozen=True)
class Workers:
    """How many pictures are worked on at a time.

    `wanted`: so many; None for as many as pay, which is measured in the first second. `another`
    opens a further detector. `threads`: what one detector takes. `report` hears what was chosen.
    """

    wanted: int | None
    another: Callable[[], Detector]
    threads: int = 1
    report: Callable[[str], None] = lambda message: None

    def tried(self, frames: FrameSource, limit: int | None) -> list[int]:
        """Return the numbers of workers to try on a source."""
        if self.wanted is not None:
            return [self.wanted]
        known = [number for number in (frames.count, limit) if number is not None]
        live = any(part.kind in ("camera", "stream") for part in frames.parts or [frames])
        return steps(min(known, default=None), live, self.threads)


def run(
    detector: Detector,
    frames: FrameSource,
    sinks: Sequence[Sink],
    limit: int | None = None,
    workers: Workers | None = None,
) -> Generator[tuple[Frame, Faces], None, None]:
    """Detect, hand each result to the sinks, and yield it; in the order of the frames.

    Memory does not grow with the number of frames. Results do not depend on the workers.

    Args:
        detector: finds the faces; the first of several.
        frames: the source.
        sinks: where the results go.
        limit: stop after so many frames, those of an earlier run that is gone on with included.
        workers: None for one picture after the other.
    """
    if limit is not None and (limit := limit - frames.before) <= 0:
        return
    tried = [1] if workers is None else workers.tried(frames, limit)
    if workers is None or tried == [1]:
        results = _one_by_one(detector, frames, sinks)
    else:
        results = _at_once(detector, frames, sinks, limit, workers, tried)
    found = 0
    hand_on = _hand_on_whole if any(part.live for part in frames.parts or [frames]) else _hand_on
    with closing(results):
        for done in results:
            frame = frames.accept(done.frame if isinstance(done, Done) else done)
            if frame is None or not isinstance(done, Done):
                _tell(sinks, done)
                continue
            try:
                hand_on(sinks, frame, done.prepared)
            except StopRequested:
                return
            yield frame, done.faces
            found += 1
            if found == limit:
                return


def _hand_on(sinks: Sequence[Sink], frame: Frame, prepared: Sequence[Any]) -> None:
    for sink, own in zip(sinks, prepared, strict=True):
        sink.write(frame, own)


def _hand_on_whole(sinks: Sequence[Sink], frame: Frame, prepared: Sequence[Any]) -> None:
    """Write what a recording is to end with when a signal comes: a picture whole."""
    _hand_on(sinks, frame, prepared)


UNDISTURBED.add(_hand_on_whole.__code__)


def _tell(sinks: Sequence[Sink], unread: Done | Unread | Stopped) -> None:
    assert not isinstance(unread, Done)
    if not unread.known:
        for sink in sinks:
            sink.miss(unread)


_Results = Generator[Done | Unread | Stopped, None, None]


def _one_by_one(detector: Detector, frames: FrameSource, sinks: Sequence[Sink]) -> _Results:
    for pending in frames.pending():
        yield looked_at(pending(), detector, sinks)


def _at_once(
    detector: Detector,
    frames: FrameSource,
    sinks: Sequence[Sink],
    limit: int | None,
    workers: Workers,
    tried: list[int],
) -> _Results:
    trial = Trial(tried)
    with Flow(detector, workers.another, max(tried), frames, sinks, limit) as flow:
        flow.employ(trial.workers)
        for done in flow:
            yield done
            if not trial.settled:
                trial.finished()
                flow.employ(trial.workers)
                if trial.settled:
                    workers.report(str(trial))
