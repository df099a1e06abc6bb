"""Running detectors over frames: one picture after the other, or several at a time."""

# Tested by tests/detect/test_flow.py.

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.flow import Done, Flow
from ultraface_deploy.detect.sinks import Sink, StopRequested
from ultraface_deploy.detect.sources import Frame, FrameSource
from ultraface_deploy.detect.workers import Trial, steps
from ultraface_deploy.pipeline import Faces


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
        limit: stop after so many frames.
        workers: None for one picture after the other.
    """
    tried = [1] if workers is None else workers.tried(frames, limit)
    if workers is None or tried == [1]:
        results = _one_by_one(detector, frames, sinks, limit)
    else:
        results = _at_once(detector, frames, sinks, limit, workers, tried)
    with closing(results):
        for frame, faces, prepared in results:
            try:
                for sink, each in zip(sinks, prepared, strict=True):
                    sink.write(frame, each)
            except StopRequested:
                return
            yield frame, faces


_Results = Generator[tuple[Frame, Faces, list[Any]], None, None]


def _one_by_one(
    detector: Detector, frames: FrameSource, sinks: Sequence[Sink], limit: int | None
) -> _Results:
    for frame in islice(frames, limit):
        faces = detector.detect(frame.image, frame.reduction)
        yield frame, faces, [sink.prepare(frame, faces) for sink in sinks]


def _at_once(
    detector: Detector,
    frames: FrameSource,
    sinks: Sequence[Sink],
    limit: int | None,
    workers: Workers,
    tried: list[int],
) -> _Results:
    trial, found = Trial(tried), 0
    with Flow(detector, workers.another, max(tried), frames, sinks, limit) as flow:
        flow.employ(trial.workers)
        for done in flow:
            frame = frames.accept(done.frame if isinstance(done, Done) else done)
            if frame is not None and isinstance(done, Done):
                yield frame, done.faces, done.prepared
                found += 1
                if found == limit:
                    return
            if not trial.settled:
                trial.finished()
                flow.employ(trial.workers)
                if trial.settled:
                    workers.report(str(trial))
