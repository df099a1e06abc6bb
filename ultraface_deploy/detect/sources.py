"""Where pictures come from, one after the other: files, a video, a camera, a stream."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ultraface_deploy.detect.frames import Frame, Pending, Read, Stopped, Unread
from ultraface_deploy.detect.interlaced import require_progressive
from ultraface_deploy.detect.live import Arrivals, LiveStream, shown_url
from ultraface_deploy.detect.picamera import PiCamera
from ultraface_deploy.detect.shape import pixel_aspect
from ultraface_deploy.detect.whole import is_whole, seconds_at
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.animations import is_animated, read_animation
from ultraface_deploy.safe.files import native_name
from ultraface_deploy.safe.images import as_bgr, read_picture
from ultraface_deploy.safe.limits import PIXELS
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.text import counted

# A camera that gives no picture so often in a row is gone.
_CAMERA_TRIES = 10
RECONNECT_SECONDS = 30.0
FASTEST = 240.0
"""Pictures a second of a video. What states more states the unit of its clock, as browsers do."""


@dataclass
class FrameSource:
    """An iterable of frames, read one at a time. What cannot be read is in `unreadable`."""

    kind: Literal["images", "video", "animation", "camera", "stream", "several"]
    paths: list[Path] = field(default_factory=list)
    camera: int | None = None
    picamera: bool = False
    """Whether the camera is a Raspberry Pi's module, read through picamera2."""
    url: str | None = None
    patience: float = RECONNECT_SECONDS
    """Seconds without a picture after which a stream is given up."""
    fps: float = 0.0
    """What it says of its rate, 0 where it says nothing; of a stream known with a picture."""
    finite: bool = False
    """Whether a stream has a known length, as a video on a web server; known with a picture."""
    count: int | None = None
    """How many frames are to come, None where nobody knows."""
    unreadable: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Pictures that could be read in part, and what is wrong with each."""
    stopped: str | None = None
    """Why a video, camera or stream ended before its time."""
    parts: list[FrameSource] = field(default_factory=list)
    """Of `several`, in their order."""
    least: tuple[int, int] | None = None
    """Width and height that are enough of a picture; see `enough`."""
    written: dict[str, int] = field(default_factory=dict)
    """Rows that an earlier run has written, by name; see `go_on`."""
    before: int = 0
    """Pictures that an earlier run has looked at."""

    @property
    def live(self) -> bool:
        """Whether its pictures come when they come, as those of a camera."""
        return self.kind == "camera" or (self.kind == "stream" and not self.finite)

    @property
    def timed(self) -> bool:
        """Whether it was given as a video, an animation, a camera or a stream, or one of several
        was: their pictures have times."""
        return any(part.kind != "images" for part in self.parts or [self])

    def enough(self, width: int, height: int) -> None:
        """Let pictures be decoded smaller where at least so many pixels are left."""
        for part in self.parts or [self]:
            part.least = (width, height)

    def go_on(self, written: dict[str, int], pictures: int) -> None:
        """Leave out what an earlier run has written.

        Args:
            written: of each name the number of rows, which is counted down.
            pictures: how many of the rows are of a picture that was looked at.
        """
        self.before = pictures
        for part in self.parts or [self]:
            part.written = written

    def __iter__(self) -> Iterator[Frame]:
        for read in self.pending():
            if (frame := self.accept(read())) is not None:
                yield frame

    def pending(self) -> Generator[Pending, None, None]:
        """Yield what is to be read, in order; what comes of it goes to `accept` in this order.

        Files are read when they are called; of a video or a camera the next picture is ready.
        """
        if self.kind == "several":
            for part in self.parts:
                yield from part.pending()
        elif self.kind in ("images", "animation"):
            yield from self._images()
        else:
            for read in self._stream() if self.url is not None else self._video():
                yield partial(_same, read)

    def accept(self, read: Read) -> Frame | None:
        """Return a frame that was read; remember what was not, and what only in part.

        Raises:
            MissingDependency: the only picture of the source needs a package.
        """
        if isinstance(read, Stopped):
            self.stopped = "; ".join(filter(None, (self.stopped, read.reason)))
            return None
        if isinstance(read, Unread):
            if isinstance(read.error, MissingDependency) and read.alone:
                raise read.error
            self.unreadable.append(str(read.error))
            return None
        if read.damage is not None:
            self.damaged.append(read.damage)
        return read

    def _images(self) -> Generator[Pending, None, None]:
        # Copies: a path keeps its text once somebody has asked for it, 10 MB for 100,000.
        for path in map(Path, self.paths):
            if is_animated(path):
                yield from self._animation(path)
            elif not self._is_written(str(path)):
                yield partial(self._picture, path)

    def _animation(self, path: Path) -> Iterator[Pending]:
        name, index, time = str(path), 0, 0.0
        try:
            for image, lasts in read_animation(path):
                if not self._is_written(name):
                    frame = Frame(name, image, index, self, time=time, lasts=lasts)
                    yield partial(_same, frame)
                index, time = index + 1, time + lasts
        except InputError as error:
            known = self._is_written(name)
            yield partial(_same, Unread(name, error, len(self.paths) == 1, index, known))

    def _is_written(self, name: str) -> bool:
        """Whether an earlier run has written the next row of that name."""
        if not (left := self.written.get(name, 0)):
            return False
        self.written[name] = left - 1
        return True

    def _picture(self, path: Path) -> Read:
        try:
            image, damage, reduction = read_picture(path, self.least)
        except (InputError, MissingDependency) as error:
            return Unread(str(path), error, len(self.paths) == 1)
        return Frame(str(path), image, None, self, damage, reduction)

    def _video(self) -> Iterator[Read]:
        capture, name = self._open()
        arrivals = Arrivals()
        pixel = pixel_aspect(capture) if self.camera is None else 1.0
        try:
            index, time = 0, 0.0
            # A file that gives no picture has ended; a camera may have sent a broken one.
            tries = 1 if self.camera is None else _CAMERA_TRIES
            while (image := _next_picture(capture, tries)) is not None:
                time = seconds_at(capture) if self.camera is None else arrivals.now()
                # None of a container that says 0 of every picture.
                shown = time if time or index == 0 else None
                if not self._is_written(name):
                    yield Frame(name, as_bgr(image), index, self, time=shown, pixel=pixel)
                index += 1
            if self.camera is not None or not is_whole(
                self.paths[0], capture, index, _count_of(capture), time
            ):
                got = counted(index, "picture")
                if self.count is not None:
                    got = f"{index} of {counted(self.count, 'picture')}"
                reason = f"{name}: stopped after {got}"
                yield Stopped(name, reason, index, self._is_written(name))
        finally:
            capture.release()

    def _stream(self) -> Iterator[Read]:
        assert self.url is not None
        name, delivered = shown_url(self.url), 0
        with LiveStream(self.url, self.patience) as stream:
            for index, image, time in stream:
                self.fps, self.finite = stream.fps, stream.finite
                yield Frame(name, as_bgr(image), index, self, time=time, pixel=stream.pixel)
                delivered += 1
        if stream.problem is not None:
            reason = f"{name}: {stream.problem} after {counted(delivered, 'picture')}"
            yield Stopped(name, reason, delivered)

    def learn(self) -> FrameSource:
        """Open a video or camera once, to fail early and to hear what it says of itself.

        Raises:
            InputError: it cannot be opened, or is too large.
        """
        capture, _ = self._open()
        if self.kind == "video":
            require_progressive(self.paths[0])
        if not isinstance(capture, PiCamera):  # which says nothing of itself
            self.fps = max(0.0, capture.get(cv2.CAP_PROP_FPS))
            # Mostly the length times the rate, which says nothing where that is a clock's unit.
            known = self.kind == "video" and self.fps <= FASTEST
            self.count = _count_of(capture) if known else None
        capture.release()
        return self

    def _open(self) -> tuple[cv2.VideoCapture | PiCamera, str]:
        if self.camera is not None and self.picamera:
            return PiCamera(self.camera), f"picamera2:{self.camera}"
        capture: cv2.VideoCapture
        if self.camera is not None:
            capture, name = cv2.VideoCapture(self.camera), f"camera {self.camera}"
            advice = "is it plugged in and free?"
        else:
            path = self.paths[0]
            with native_name(path) as native:
                capture, name = cv2.VideoCapture(native), str(path)
            advice = "is it a picture, or a video that OpenCV can decode?"
        if not capture.isOpened():
            capture.release()
            raise InputError(f"{name}: cannot be opened; {advice}")
        if self.camera is None:
            _require_size(capture, name)
        return capture, name


def _require_size(capture: cv2.VideoCapture, name: str) -> None:
    """Hold a video to the limit of pictures, which OpenCV does not."""
    width, height = (
        int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if width * height > int(os.environ[PIXELS]):
        capture.release()
        raise InputError(
            f"{name}: has {width}x{height} pixels, more than {os.environ[PIXELS]}; "
            f"for a video you trust set {PIXELS}"
        )


def _count_of(capture: Any) -> int | None:
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return frames if frames > 0 else None


def _same(read: Read) -> Read:
    return read


def _next_picture(capture: cv2.VideoCapture | PiCamera, tries: int) -> Any:
    """The next picture; damaged ones are left out, None after so many in a row."""
    for _ in range(tries):
        try:
            read, image = capture.read()
        except cv2.error:
            continue
        if read and image is not None and image.size:
            return image
    return None
