"""Running a detector over frames, one at a time."""

# Tested by tests/detect/test_sinks.py.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.sinks import Sink, StopRequested
from ultraface_deploy.detect.sources import Frame, FrameSource
from ultraface_deploy.pipeline import Faces


def run(
    detector: Detector, frames: FrameSource, sinks: Sequence[Sink], limit: int | None = None
) -> Iterator[tuple[Frame, Faces]]:
    """Detect frame by frame, hand each result to the sinks, and yield it.

    Memory does not grow with the number of frames.
    """
    for frame in islice(frames, limit):
        faces = detector.detect(frame.image)
        try:
            for sink in sinks:
                sink.write(frame, faces)
        except StopRequested:
            return
        yield frame, faces
