"""Where what was found goes, one frame at a time: marked pictures, videos, JSON, CSV, a screen."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import cv2

from ultraface_deploy.detect.sources import Frame, FrameSource
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.drawing import draw_faces
from ultraface_deploy.safe.files import make_folder, replacing
from ultraface_deploy.safe.images import IMAGE_SUFFIXES


class Sink(Protocol):
    """Somewhere the result for a frame goes."""

    def write(self, frame: Frame, faces: Faces) -> None:
        """Take the result for one frame."""


class StopRequested(Exception):  # noqa: N818 - no error
    """The person at the screen wants no more frames."""


@contextmanager
def open_sinks(
    frames: FrameSource, output: Path | None, json: str | None, csv: str | None, show: bool
) -> Iterator[list[Sink]]:
    """Open what was asked for; files appear whole when all frames are done.

    Args:
        frames: decides whether `output` is a picture, a folder of pictures or a video.
        output: for marked pictures or a marked video.
        json: file for JSON, `-` for standard output.
        csv: file for CSV, `-` for standard output.
        show: whether to show each picture on the screen.

    Raises:
        InputError: `output` cannot hold what `frames` delivers, or cannot be written.
    """
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if output is not None:
            sinks.append(_marked(frames, output, stack))
        if json is not None:
            sinks.append(stack.enter_context(_json_sink(json)))
        if csv is not None:
            sinks.append(_CsvSink(stack.enter_context(_text_target(csv))))
        if show:
            sinks.append(_Screen())
        yield sinks


def _marked(frames: FrameSource, output: Path, stack: ExitStack) -> Sink:
    is_picture = output.suffix.lower() in IMAGE_SUFFIXES
    if frames.kind != "images":
        if is_picture:
            raise InputError(f"-o {output}: a video or camera needs a video file, such as out.mp4")
        make_folder(output.parent)
        temporary = stack.enter_context(replacing(output))
        sink = _VideoSink(temporary, frames.fps or 25.0)
        stack.callback(sink.close)
        return sink
    if is_picture:
        if frames.count != 1:
            raise InputError(f"-o {output}: {frames.count} pictures need a folder")
        make_folder(output.parent)
        return _PictureSink(output, None)
    if output.suffix and not output.is_dir():
        raise InputError(f"-o {output}: not a picture format; give a .jpg or a folder")
    make_folder(output)
    return _PictureSink(output, output)


class _PictureSink:
    """Writes each marked picture: to one file, or under its own name into a folder."""

    def __init__(self, target: Path, folder: Path | None) -> None:
        self._target = target
        self._folder = folder
        self._taken: set[str] = set()

    def write(self, frame: Frame, faces: Faces) -> None:
        path = self._target if self._folder is None else self._folder / self._name(frame)
        with replacing(path) as temporary:
            if not cv2.imwrite(str(temporary), draw_faces(frame.image, faces)):
                raise InputError(f"{path}: OpenCV could not write the picture")

    def _name(self, frame: Frame) -> str:
        """The picture's own name; numbered where a glob brings two of one name together."""
        original = Path(frame.name)
        name, number = original.name, 1
        while name in self._taken:
            number += 1
            name = f"{original.stem}-{number}{original.suffix}"
        self._taken.add(name)
        return name


class _VideoSink:
    """Writes marked frames; a source that changes size is scaled to its first frame's."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, frame: Frame, faces: Faces) -> None:
        marked = draw_faces(frame.image, faces)
        if self._writer is None:
            self._size = (marked.shape[1], marked.shape[0])
            codec = "MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"
            fourcc = cv2.VideoWriter.fourcc(*codec)
            self._writer = cv2.VideoWriter(str(self._path), fourcc, self._fps, self._size)
            if not self._writer.isOpened():
                raise InputError(
                    f"-o {self._path.suffix}: OpenCV cannot write it; use .mp4 or .avi"
                )
        if (marked.shape[1], marked.shape[0]) != self._size:
            marked = cv2.resize(marked, self._size)  # type: ignore[assignment]
        self._writer.write(marked)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


class _CsvSink:
    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(["file", "frame", "x1", "y1", "x2", "y2", "score", "label"])

    def write(self, frame: Frame, faces: Faces) -> None:
        for face in _records(faces):
            self._writer.writerow(
                [frame.name, "" if frame.index is None else frame.index]
                + [f"{value:.2f}" for value in face["box"]]
                + [f"{face['score']:.5f}", face["label"]]
            )


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
    def write(self, frame: Frame, faces: Faces) -> None:
        try:
            cv2.imshow("ultraface-deploy", draw_faces(frame.image, faces))
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
def _text_target(target: str) -> Iterator[IO[str]]:
    if target == "-":
        yield sys.stdout
        return
    with replacing(Path(target)) as temporary, temporary.open("w", newline="") as file:
        yield file


def _records(faces: Faces) -> list[dict[str, Any]]:
    return [
        {"box": [round(v, 3) for v in box], "score": round(score, 6), "label": label}
        for box, score, label in zip(
            faces.boxes.tolist(), faces.scores.tolist(), faces.labels.tolist(), strict=True
        )
    ]
