"""Pictures and videos with the faces marked or hidden, and each face as a picture of its own."""

# Tested by tests/detect/test_sinks.py.

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.detect.rates import pace_of
from ultraface_deploy.detect.shape import squared
from ultraface_deploy.detect.sink import Sink
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.detect.videos import (
    ANIMATIONS,
    AnimationSink,
    Report,
    VideoSink,
    can_write,
    open_animation,
    open_video,
)
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.animations import times_played
from ultraface_deploy.safe.files import make_folder, write_bytes
from ultraface_deploy.safe.images import IMAGE_SUFFIXES, Image, can_encode, encode

Paint = Callable[[Image, Faces], Image]
"""What makes of a picture and its faces the picture that is written or shown."""


def refuse_output(frames: FrameSource, output: Path) -> None:
    """Refuse an output that cannot hold what the source delivers, or is it; writes nothing.

    Raises:
        InputError: says what to give instead.
    """
    _refuse_sources(frames, output)
    suffix = output.suffix.lower()
    if output.is_dir() or not suffix:
        return
    if frames.kind == "several":
        raise InputError(f"`output` {output}: several sources need a folder; give its name")
    if frames.kind == "animation" and suffix in ANIMATIONS:
        return
    if frames.kind != "images":
        if suffix in IMAGE_SUFFIXES:
            raise InputError(
                f"`output` {output}: a video or camera needs a video file, such as out.mp4"
            )
        if not can_write(suffix):
            raise InputError(
                f"`output` {output}: OpenCV cannot write {suffix} here; give an .mp4, .avi or .webm"
            )
    elif suffix not in IMAGE_SUFFIXES:
        raise InputError(f"`output` {output}: not a picture format; give a .jpg or a folder")
    elif frames.count != 1:
        raise InputError(f"`output` {output}: {frames.count} pictures need a folder; give its name")
    elif not can_encode(suffix):
        raise InputError(f"`output` {output}: {suffix} cannot be written here; give a .jpg or .png")


def _refuse_sources(frames: FrameSource, output: Path) -> None:
    """Refuse to replace the pictures that are looked at: nobody has them twice."""
    for part in frames.parts or [frames]:
        # Copies, as in sources: a path keeps what it was asked for.
        paths = map(Path, part.paths)
        if output.is_dir():
            # A marked video is an .mp4.
            kept = (each for each in paths if part.kind != "video" or each.suffix == ".mp4")
            for folder in {each.parent for each in kept}:
                if folder.is_dir() and output.samefile(folder):
                    raise InputError(
                        f"`output` {output}: holds what is looked at, which would be replaced; "
                        "give another folder"
                    )
        elif any(output.exists() and path.exists() and output.samefile(path) for path in paths):
            raise InputError(
                f"`output` {output}: is what is looked at and would be replaced; give another name"
            )


class Marked(Sink):
    """Writes painted frames: to one file, or under names after their sources into a folder."""

    def __init__(
        self, frames: FrameSource, output: Path, paint: Paint, report: Report = lambda message: None
    ) -> None:
        refuse_output(frames, output)
        self._frames, self._output, self._paint = frames, output, paint
        self._report = report
        self._folder = output if output.is_dir() or not output.suffix else None
        make_folder(self._folder or output.parent)
        self._names = Names()
        self._part: FrameSource | None = None
        self._sink: _PictureSink | VideoSink | AnimationSink
        self._open = ExitStack()

    def __enter__(self) -> Marked:
        self._open.__enter__()
        return self

    def __exit__(self, *how: object) -> None:
        self._open.__exit__(*how)  # type: ignore[arg-type]

    def prepare(self, frame: Frame, faces: Faces) -> Image | bytes | None:
        """Return the painted picture, of a source of pictures the file it becomes."""
        painted = squared(self._paint(frame.image, faces), frame.pixel)
        if self._part_of(frame).kind != "images":
            return painted
        return _encoded(self._output.suffix if self._folder is None else suffix_of(frame), painted)

    def write(self, frame: Frame, prepared: Any) -> None:
        """Take the next picture; what was begun for the source before appears under its name."""
        part = self._part_of(frame)
        if self._part is not part:
            self._open.close()
            self._part = part
            self._sink = self._begin(part, frame)
        self._sink.write(frame, prepared)

    def _part_of(self, frame: Frame) -> FrameSource:
        return self._frames if frame.source is None else frame.source

    def _begin(self, part: FrameSource, frame: Frame) -> _PictureSink | VideoSink | AnimationSink:
        if part.kind == "images":
            return _PictureSink(self._output, self._folder, self._names)
        target, still = self._output, replace(frame, index=None)
        if part.kind == "animation":
            if self._folder is not None:
                target = self._folder / self._names.of(still, suffix_of(still))
            if target.suffix.lower() in ANIMATIONS:
                played = times_played(part.paths[0])
                return self._open.enter_context(open_animation(target, played))
        if self._folder is not None:
            target = self._folder / self._names.of(_named_after_stream(still), ".mp4")
        return self._open.enter_context(open_video(target, pace_of(part), self._report))


class Names:
    """File names after pictures; numbered where a glob brings two of one name together."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, frame: Frame, suffix: str, number: int | None = None) -> str:
        """Return a name for a picture, or with `number` for one of its faces."""
        stem = Path(frame.name).stem or "picture"
        if frame.index is not None:
            stem += f"-{frame.index:06d}"
        if number is not None:
            stem += f"-{number}"
        name, again = f"{stem}{suffix}", 1
        while name in self._taken:
            again += 1
            name = f"{stem}-{again}{suffix}"
        self._taken.add(name)
        return name


def suffix_of(frame: Frame) -> str:
    """Return the suffix of the picture's own file, or .png.

    A frame of an animation is one picture; and not all that is read can be written.
    """
    own = Path(frame.name).suffix
    return own if frame.index is None and can_encode(own.lower()) else ".png"


class _PictureSink:
    """Writes each picture: to one file, or under its own name into a folder."""

    def __init__(self, target: Path, folder: Path | None, names: Names) -> None:
        self._target = target
        self._folder = folder
        self._names = names

    def write(self, frame: Frame, content: bytes | None) -> None:
        path = self._target
        if self._folder is not None:
            path = self._folder / self._names.of(frame, suffix_of(frame))
        _write_picture(path, content)


class CropSink(Sink):
    """Writes each face as a picture of its own, named after the picture and its number in it."""

    def __init__(self, folder: Path, margin: float) -> None:
        make_folder(folder)
        self._folder = folder
        self._margin = margin
        self._names = Names()

    def prepare(self, frame: Frame, faces: Faces) -> dict[int, bytes | None]:
        """Return the file of each face by its number."""
        crops = enumerate(faces.crop(frame.image, self._margin), 1)
        return {
            number: _encoded(_crops_are(), squared(crop, frame.pixel))
            for number, crop in crops
            if crop.size
        }

    def write(self, frame: Frame, prepared: dict[int, bytes | None]) -> None:
        """Take the faces of one picture."""
        named = _named_after_stream(frame)
        for number, content in prepared.items():
            _write_picture(self._folder / self._names.of(named, _crops_are(), number), content)


def _named_after_stream(frame: Frame) -> Frame:
    """A frame whose name has no characters in it that a URL has and a file name has not."""
    stream = frame.name.partition("://")[2]
    return replace(frame, name=re.sub(r"[^\w.-]+", "-", stream)) if stream else frame


def _crops_are() -> str:
    """Without loss where this install can write that."""
    return ".png" if can_encode(".png") else ".jpg"


def _encoded(suffix: str, image: Image) -> bytes | None:
    """Return the file of a picture, None where it cannot be made."""
    try:
        return encode(image, suffix.lower())
    except InputError:
        return None


def _write_picture(path: Path, content: bytes | None) -> None:
    # Written by us: OpenCV cannot take every name that a file can have.
    if content is None:
        raise InputError(
            f"{path}: the picture could not be encoded; write another format, such as .png"
        )
    write_bytes(path, content)
