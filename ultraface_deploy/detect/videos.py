"""Videos and animations as they are written, a picture at a time."""

# Tested by tests/detect/test_whole.py.

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.detect.rates import Pace
from ultraface_deploy.detect.whole import packet_times
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import native_name, replacing
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.refusals import unwritable

Report = Callable[[str], None]
"""Hears what a user should know of an output."""

ANIMATIONS = frozenset({".gif", ".webp", ".png", ".apng", ".avif"})
_ANIMATION_BYTES = 1 << 30
# Seconds of pictures that a live source may send at once, as streams do when they begin.
_LIVE_AHEAD = 0.5
# What each container takes; the others take MPEG-4.
_CODECS = {".avi": "MJPG", ".mjpg": "MJPG", ".mjpeg": "MJPG", ".webm": "VP80", ".ogv": "VP80"}


def can_write(suffix: str) -> bool:
    """Whether a video of that kind can be written here and read again: OpenCV's builds differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"probe{suffix}"
        writer = _video_writer(path, 25.0, (64, 64))
        for _ in range(2):
            writer.write(np.zeros((64, 64, 3), np.uint8))
        writer.release()
        capture = cv2.VideoCapture(str(path)) if path.is_file() else None
        return capture is not None and capture.read()[0]


def _video_writer(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    fourcc = cv2.VideoWriter.fourcc(*_CODECS.get(path.suffix.lower(), "mp4v"))
    with native_name(path) as native:
        return cv2.VideoWriter(native, fourcc, fps, size)


class VideoSink:
    """Writes painted frames; a source that changes size is scaled to its first frame's.

    A video has one rate: where the pictures of the source come at irregular times, each is
    repeated until the next one is due. Those of a live source come at another rate than it states,
    or more slowly than they are looked at: where there are too many, some are left out.
    """

    def __init__(self, path: Path, pace: Pace, named: Path, report: Report) -> None:
        self._path, self._named, self._report = path, named, report
        self._fps, self._pace = pace.fps, pace
        self._writer: cv2.VideoWriter | None = None
        self._changed = False
        self._written = 0
        self._began = 0.0

    def write(self, frame: Frame, painted: Image) -> None:
        """Take the next picture."""
        if self._writer is None:
            self._began = frame.time or 0.0
            self._writer = self._begin(painted)
        elif frame.time is not None:
            if self._pace.live and self._ahead(frame.time) > _LIVE_AHEAD * self._fps:
                return
            self._hold(frame.time)
        if (now := (painted.shape[1], painted.shape[0])) != self._size:
            self._say_changed(now)
            painted = cv2.resize(painted, self._size)  # type: ignore[assignment]
        self._last, self._frame = painted, frame
        self._add()

    def finish(self) -> None:
        """Show the last picture as long as the source does."""
        if self._writer is not None:
            if self._frame.time is not None and self._frame.lasts is not None:
                self._hold(self._frame.time + self._frame.lasts)
            self._writer.release()
            # OpenCV says nothing of what could not be written.
            if (found := sum(1 for _ in packet_times(self._path))) < self._written:
                raise InputError(
                    f"{self._named}: cannot write ({found} of {self._written} pictures reached "
                    "the file); make room or choose another place"
                )

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._writer is not None:
            self._writer.release()

    def _begin(self, painted: Image) -> cv2.VideoWriter:
        high, wide = painted.shape[:2]
        self._size = (wide, high)
        writer = _video_writer(self._path, self._fps, self._size)
        if not writer.isOpened():
            _require_room(self._path, self._named)
            raise InputError(
                f"`output`: OpenCV cannot write a {self._path.suffix} of {wide}x{high} at "
                f"{self._fps:g} frames a second; give an .mp4 or .avi"
            )
        if wide % 2 or high % 2:
            self._report(
                f"{self._named}: {wide - wide % 2}x{high - high % 2}, the pictures have "
                f"{wide}x{high}: OpenCV writes videos of even sides and cuts the last pixel off"
            )
        return writer

    def _say_changed(self, now: tuple[int, int]) -> None:
        if not self._changed:
            self._changed = True
            (wide, high), (new_wide, new_high) = self._size, now
            self._report(
                f"{self._named}: the pictures change from {wide}x{high} to {new_wide}x{new_high}; "
                "all are scaled to the first size"
            )

    def _ahead(self, time: float) -> int:
        """By how many pictures the video is longer than the source was at a time of it."""
        return self._written - round((time - self._began) * self._fps)

    def _hold(self, until: float) -> None:
        """Repeat the last picture until a time of the source."""
        ahead = self._ahead(until)
        if ahead < -self._pace.longest * self._fps or until < (self._frame.time or 0.0):
            self._began -= ahead / self._fps
            return
        for _ in range(-ahead):
            self._add()

    def _add(self) -> None:
        assert self._writer is not None
        self._writer.write(self._last)
        self._written += 1


@contextmanager
def open_video(output: Path, pace: Pace, report: Report) -> Iterator[VideoSink]:
    """Yield what takes the pictures of a video, which appears whole or not at all.

    Args:
        output: the file.
        pace: how it keeps the times of its source.
        report: hears of a video that cannot have the size of its pictures.

    Raises:
        InputError: OpenCV cannot write it, or not all of it reached the file.
    """
    with replacing(output) as temporary:
        sink = VideoSink(temporary, pace, output, report)
        try:
            yield sink
            sink.finish()
        finally:
            sink.abandon()


def _require_room(path: Path, named: Path) -> None:
    """Refuse a file of which not even the first bytes can be written."""
    try:
        with path.open("wb") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{named}: {unwritable(error)}") from error


class AnimationSink:
    """Gathers painted frames; such files are written at once, so their size is limited."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.frames: list[Image] = []
        self.milliseconds: list[int] = []

    def write(self, frame: Frame, painted: Image) -> None:
        """Take the next picture."""
        self.frames.append(painted)
        self.milliseconds.append(round(1000 * (frame.lasts or 0)))
        if sum(each.size for each in self.frames[:1]) * len(self.frames) > _ANIMATION_BYTES:
            raise InputError(f"`output` {self._path}: too many pictures for this kind; use .mp4")


@contextmanager
def open_animation(output: Path, played: int) -> Iterator[AnimationSink]:
    """Yield what takes the pictures of an animation, which appears whole or not at all.

    Args:
        output: the file.
        played: how often it is played when it is shown; 0 for again and again.

    Raises:
        InputError: OpenCV cannot write it.
    """
    sink = AnimationSink(output)
    with replacing(output) as temporary:
        yield sink
        animation = cv2.Animation()
        animation.frames = sink.frames
        animation.durations = sink.milliseconds
        animation.loop_count = played
        if not (sink.frames and _write_animation(temporary, animation)):
            raise InputError(f"`output` {output}: OpenCV could not write the animation; use .mp4")


def _write_animation(path: Path, animation: cv2.Animation) -> bool:
    if not hasattr(cv2, "imencodeanimation"):
        with native_name(path) as native:
            return cv2.imwriteanimation(native, animation) and path.stat().st_size > 0
    # Written by us: OpenCV says nothing of a full disk.
    encoded, content = cv2.imencodeanimation(path.suffix, animation)
    if encoded:
        path.write_bytes(content.tobytes())
    return encoded
