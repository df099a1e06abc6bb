"""Where what was found goes, one frame at a time: marked pictures, videos, JSON, CSV, a screen."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import cv2

from ultraface_deploy.detect.sources import Frame, FrameSource
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.drawing import draw_faces
from ultraface_deploy.pipeline.faces import POINT_NAMES
from ultraface_deploy.pipeline.hiding import Hiding, hide_faces
from ultraface_deploy.safe.files import make_folder, native_name, replacing, write_bytes
from ultraface_deploy.safe.images import IMAGE_SUFFIXES, Image
from ultraface_deploy.safe.text import file_cell


class Sink(Protocol):
    """Somewhere the result for a frame goes."""

    def write(self, frame: Frame, faces: Faces) -> None:
        """Take the result for one frame."""


Paint = Callable[[Image, Faces], Image]
"""What makes of a picture and its faces the picture that is written or shown."""

_ANIMATIONS = frozenset({".gif", ".webp", ".png", ".apng", ".avif"})
_ANIMATION_BYTES = 1 << 30
_POINTS = [f"{axis}_{name}" for name in POINT_NAMES for axis in "xy"]


class StopRequested(Exception):  # noqa: N818 - no error
    """The person at the screen wants no more frames."""


@dataclass(frozen=True)
class Wanted:
    """What `detect` shall write.

    `output`: marked pictures or a marked video, or with `hide` such without recognisable faces.
    `json`, `csv`: files for the faces, `count` a CSV file for their number in each picture; `-`
    for standard output. `crops`: folder for the faces as pictures of their own, with `margin` as a
    share of the box around them. `show`: each picture on the screen.
    """

    output: Path | None = None
    json: str | None = None
    csv: str | None = None
    count: str | None = None
    crops: Path | None = None
    margin: float = 0.2
    hide: Hiding | None = None
    show: bool = False

    def __post_init__(self) -> None:
        if [self.json, self.csv, self.count].count("-") > 1:
            raise InputError("only one of --json, --csv and --count can go to standard output")
        if self.hide is not None and not (self.output or self.show):
            raise InputError(f"--{self.hide}: give -o for the pictures without recognisable faces")

    @property
    def on_stdout(self) -> bool:
        """Whether standard output is taken."""
        return "-" in (self.json, self.csv, self.count)


@contextmanager
def open_sinks(frames: FrameSource, wanted: Wanted) -> Iterator[list[Sink]]:
    """Open what was asked for; files appear whole when all frames are done.

    Args:
        frames: decides whether the output is a picture, a folder of pictures or a video.
        wanted: what to write.

    Raises:
        InputError: the output cannot hold what `frames` delivers, or cannot be written.
    """
    paint: Paint = draw_faces
    if wanted.hide is not None:
        paint = partial(hide_faces, how=wanted.hide)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if wanted.output is not None:
            sinks.append(_painted(frames, wanted.output, paint, stack))
        if wanted.crops is not None:
            make_folder(wanted.crops)
            sinks.append(_CropSink(wanted.crops, wanted.margin))
        if wanted.json is not None:
            sinks.append(stack.enter_context(_json_sink(wanted.json)))
        if wanted.csv is not None:
            sinks.append(stack.enter_context(_csv_sink(wanted.csv)))
        if wanted.count is not None:
            sinks.append(_CountSink(stack.enter_context(_text_target(wanted.count))))
        if wanted.show:
            sinks.append(_Screen(paint))
        yield sinks


def _painted(frames: FrameSource, output: Path, paint: Paint, stack: ExitStack) -> Sink:
    suffix = output.suffix.lower()
    if frames.kind == "animation" and suffix in _ANIMATIONS:
        make_folder(output.parent)
        return stack.enter_context(_animation(output, frames.fps, paint))
    if frames.kind != "images":
        if suffix in IMAGE_SUFFIXES:
            raise InputError(f"-o {output}: a video or camera needs a video file, such as out.mp4")
        make_folder(output.parent)
        temporary = stack.enter_context(replacing(output))
        sink = _VideoSink(temporary, frames.fps or 25.0, paint)
        stack.callback(sink.close)
        return sink
    if suffix in IMAGE_SUFFIXES and not output.is_dir():
        if frames.count != 1:
            raise InputError(f"-o {output}: {frames.count} pictures need a folder")
        if not cv2.haveImageWriter(f"x{suffix}"):
            raise InputError(f"-o {output}: OpenCV cannot write {suffix}; give a .jpg or .png")
        make_folder(output.parent)
        return _PictureSink(output, None, paint)
    if output.suffix and not output.is_dir():
        raise InputError(f"-o {output}: not a picture format; give a .jpg or a folder")
    make_folder(output)
    return _PictureSink(output, output, paint)


class _Names:
    """File names after pictures; numbered where a glob brings two of one name together."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, frame: Frame, suffix: str | None = None, number: int | None = None) -> str:
        original = Path(frame.name)
        stem = original.stem or "picture"
        if frame.index is not None:
            stem += f"-{frame.index:06d}"
        if number is not None:
            stem += f"-{number}"
        if suffix is None:
            # A frame of an animation is one picture; and not all that is read can be written.
            plain = frame.index is None and cv2.haveImageWriter(f"x{original.suffix.lower()}")
            suffix = original.suffix if plain else ".png"
        name, again = f"{stem}{suffix}", 1
        while name in self._taken:
            again += 1
            name = f"{stem}-{again}{suffix}"
        self._taken.add(name)
        return name


class _PictureSink:
    """Writes each painted picture: to one file, or under its own name into a folder."""

    def __init__(self, target: Path, folder: Path | None, paint: Paint) -> None:
        self._target = target
        self._folder = folder
        self._paint = paint
        self._names = _Names()

    def write(self, frame: Frame, faces: Faces) -> None:
        path = self._target
        if self._folder is not None:
            path = self._folder / self._names.of(frame)
        _write_picture(path, self._paint(frame.image, faces))


class _CropSink:
    """Writes each face as a picture of its own, named after the picture and its number in it."""

    def __init__(self, folder: Path, margin: float) -> None:
        self._folder = folder
        self._margin = margin
        self._names = _Names()

    def write(self, frame: Frame, faces: Faces) -> None:
        stream = frame.name.partition("://")[2]
        named = replace(frame, name=re.sub(r"[^\w.-]+", "-", stream)) if stream else frame
        for number, crop in enumerate(faces.crop(frame.image, self._margin), 1):
            if crop.size:
                _write_picture(self._folder / self._names.of(named, ".png", number), crop)


def _write_picture(path: Path, image: Image) -> None:
    # Encoded here and written by us: OpenCV cannot take every name that a file can have.
    try:
        encoded, content = cv2.imencode(path.suffix.lower(), image)
    except cv2.error:
        encoded = False
    if not encoded:
        raise InputError(f"{path}: OpenCV could not encode the picture")
    write_bytes(path, content.tobytes())


class _VideoSink:
    """Writes painted frames; a source that changes size is scaled to its first frame's."""

    def __init__(self, path: Path, fps: float, paint: Paint) -> None:
        self._path = path
        self._fps = fps
        self._paint = paint
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, frame: Frame, faces: Faces) -> None:
        painted = self._paint(frame.image, faces)
        if self._writer is None:
            self._size = (painted.shape[1], painted.shape[0])
            codec = "MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"
            fourcc = cv2.VideoWriter.fourcc(*codec)
            with native_name(self._path) as native:
                self._writer = cv2.VideoWriter(native, fourcc, self._fps, self._size)
            if not self._writer.isOpened():
                raise InputError(
                    f"-o {self._path.suffix}: OpenCV cannot write it; use .mp4 or .avi"
                )
        if (painted.shape[1], painted.shape[0]) != self._size:
            painted = cv2.resize(painted, self._size)  # type: ignore[assignment]
        self._writer.write(painted)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


class _AnimationSink:
    """Gathers painted frames; such files are written at once, so their size is limited."""

    def __init__(self, path: Path, paint: Paint) -> None:
        self._path, self._paint = path, paint
        self.frames: list[Image] = []

    def write(self, frame: Frame, faces: Faces) -> None:
        self.frames.append(self._paint(frame.image, faces))
        if sum(each.size for each in self.frames[:1]) * len(self.frames) > _ANIMATION_BYTES:
            raise InputError(f"-o {self._path}: too many pictures for this kind; use .mp4")


@contextmanager
def _animation(output: Path, fps: float, paint: Paint) -> Iterator[_AnimationSink]:
    sink = _AnimationSink(output, paint)
    with replacing(output) as temporary:
        yield sink
        animation = cv2.Animation()
        animation.frames = sink.frames
        animation.durations = [round(1000 / fps)] * len(sink.frames)
        with native_name(temporary) as native:
            written = bool(sink.frames) and cv2.imwriteanimation(native, animation)
        if not written:
            raise InputError(f"-o {output}: OpenCV could not write the animation; use .mp4")


class _CsvSink:
    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._begun = False

    def begin(self, landmarks: bool) -> None:
        """Write the heading, once."""
        if not self._begun:
            self._begun = True
            points = _POINTS if landmarks else []
            self._writer.writerow(
                ["file", "frame", "x1", "y1", "x2", "y2", "score", "label", *points]
            )

    def write(self, frame: Frame, faces: Faces) -> None:
        self.begin(faces.landmarks is not None)
        for face in _records(faces):
            points = [value for point in face.get("landmarks", []) for value in point]
            self._writer.writerow(
                [file_cell(frame.name), "" if frame.index is None else frame.index]
                + [f"{value:.2f}" for value in face["box"]]
                + [f"{face['score']:.5f}", face["label"]]
                + [f"{value:.2f}" for value in points]
            )


class _CountSink:
    """Writes how many faces each picture has, also where there is none."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(["file", "frame", "count"])

    def write(self, frame: Frame, faces: Faces) -> None:
        index = "" if frame.index is None else frame.index
        self._writer.writerow([file_cell(frame.name), index, len(faces)])


class _JsonSink:
    """Writes one JSON document piece by piece, so that memory does not grow with the frames."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._separator = "\n"

    def write(self, frame: Frame, faces: Faces) -> None:
        height, width = frame.image.shape[:2]
        record = {
            "file": frame.name,
            "frame": frame.index,
            "width": width,
            "height": height,
            "faces": _records(faces),
        }
        self._file.write(self._separator + json.dumps(record))
        self._separator = ",\n"


class _Screen:
    def __init__(self, paint: Paint) -> None:
        self._paint = paint

    def write(self, frame: Frame, faces: Faces) -> None:
        try:
            cv2.imshow("ultraface-deploy", self._paint(frame.image, faces))
            pause = 0 if frame.index is None else 1
            if cv2.waitKey(pause) & 0xFF in (ord("q"), 27):
                raise StopRequested
        except cv2.error as error:
            raise InputError(
                "--show: this OpenCV has no windows or there is no screen; "
                "install opencv-python instead of opencv-python-headless, or use -o"
            ) from error


@contextmanager
def _json_sink(target: str) -> Iterator[_JsonSink]:
    with _text_target(target) as file:
        file.write('{"schema": 1, "results": [')
        yield _JsonSink(file)
        file.write("\n]}\n")


@contextmanager
def _csv_sink(target: str) -> Iterator[_CsvSink]:
    with _text_target(target) as file:
        sink = _CsvSink(file)
        yield sink
        sink.begin(landmarks=False)


@contextmanager
def _text_target(target: str) -> Iterator[IO[str]]:
    if target == "-":
        yield sys.stdout
        return
    with (
        replacing(Path(target)) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file


def _records(faces: Faces) -> list[dict[str, Any]]:
    records = []
    for face in faces:
        record: dict[str, Any] = {
            "box": [round(value, 3) for value in face.box],
            "score": round(face.score, 6),
            "label": face.label,
        }
        if face.landmarks is not None:
            record["landmarks"] = [[round(value, 3) for value in point] for point in face.landmarks]
        records.append(record)
    return records
