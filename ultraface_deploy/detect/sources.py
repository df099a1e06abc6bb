"""Where pictures come from: an image, a folder, a glob, a video file, a camera."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.images import IMAGE_SUFFIXES, Image, as_bgr, list_images, read_image

# Containers state how many frames they hold, some of them only nearly.
_COMPLETE = 0.95
# A camera that gives no picture so often in a row is gone.
_CAMERA_TRIES = 10
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})


@dataclass(frozen=True)
class Frame:
    """One picture and where it is from; `index` counts from 0 within a video."""

    name: str
    image: Image
    index: int | None = None


@dataclass
class FrameSource:
    """An iterable of frames, read one at a time. What cannot be read is in `unreadable`."""

    kind: str
    """`images`, `video` or `camera`."""
    paths: list[Path] = field(default_factory=list)
    camera: int | None = None
    fps: float = 0.0
    count: int | None = None
    """How many frames are to come, None where nobody knows."""
    unreadable: list[str] = field(default_factory=list)
    stopped: str | None = None
    """Why a video or camera ended before its time."""

    def __iter__(self) -> Iterator[Frame]:
        return self._images() if self.kind == "images" else self._video()

    def _images(self) -> Iterator[Frame]:
        # Copies: a path keeps its text once somebody has asked for it, 10 MB for 100,000.
        for path in map(Path, self.paths):
            try:
                image = read_image(path)
            except InputError as error:
                self.unreadable.append(str(error))
                continue
            yield Frame(str(path), image)

    def _video(self) -> Iterator[Frame]:
        capture, name = self._open()
        try:
            index = 0
            # A file that gives no picture has ended; a camera may have sent a broken one.
            tries = 1 if self.camera is None else _CAMERA_TRIES
            while (image := _next_picture(capture, tries)) is not None:
                yield Frame(name, as_bgr(image), index)
                index += 1
            if self.camera is not None or index < _COMPLETE * (self.count or 1):
                wanted = "" if self.count is None else f" of {self.count}"
                self.stopped = f"{name}: stopped after {index}{wanted} pictures"
        finally:
            capture.release()

    def _open(self) -> tuple[cv2.VideoCapture, str]:
        if self.camera is not None:
            capture, name = cv2.VideoCapture(self.camera), f"camera {self.camera}"
            advice = "is it plugged in and free?"
        else:
            capture, name = cv2.VideoCapture(str(self.paths[0])), str(self.paths[0])
            advice = "is it a video that OpenCV can decode?"
        if not capture.isOpened():
            capture.release()
            raise InputError(f"{name}: cannot be opened; {advice}")
        return capture, name


def _next_picture(capture: cv2.VideoCapture, tries: int) -> Any:
    """The next picture; damaged ones are left out, None after so many in a row."""
    for _ in range(tries):
        try:
            read, image = capture.read()
        except cv2.error:
            continue
        if read and image is not None and image.size:
            return image
    return None


def open_source(source: str) -> FrameSource:
    """Recognise a source: digits are a camera, then a folder, a video file, an image, a glob.

    Raises:
        InputError: there is nothing of that name, or it cannot be opened.
    """
    if source.isdecimal():
        return _opened(FrameSource("camera", camera=int(source)))
    path = Path(source)
    if path.is_dir():
        paths = list_images(path)
        return FrameSource("images", paths, count=len(paths))
    if glob.has_magic(source) and not path.exists():
        # The pattern is the user's own text, which Path.glob cannot take when it is absolute.
        matches = sorted(Path(match) for match in glob.glob(source, recursive=True))  # noqa: PTH207
        found = [match for match in matches if match.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            raise InputError(f"{source}: matches no image")
        return FrameSource("images", found, count=len(found))
    require_file(path, "image or video")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _opened(FrameSource("video", [path]))
    return FrameSource("images", [path], count=1)


def _opened(source: FrameSource) -> FrameSource:
    """Open once to fail early and to learn what the container says of itself."""
    capture, _ = source._open()
    source.fps = capture.get(cv2.CAP_PROP_FPS) or 0.0
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    source.count = frames if source.kind == "video" and frames > 0 else None
    capture.release()
    return source
