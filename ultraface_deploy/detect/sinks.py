"""Where what was found goes, one frame at a time: marked pictures, JSON, CSV, a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ultraface_deploy.detect.marked import CropSink, Marked, Paint, refuse_output
from ultraface_deploy.detect.sources import Frame, FrameSource
from ultraface_deploy.detect.tables import CountSink, csv_sink, json_sink, text_target
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.drawing import draw_faces
from ultraface_deploy.pipeline.hiding import Hiding, hide_faces
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2

_WINDOW = "ultraface-deploy"


class Sink(Protocol):
    """Somewhere the result for a frame goes."""

    def prepare(self, frame: Frame, faces: Faces) -> Any:
        """Make what `write` needs, in any thread and order: painting, encoding, formatting."""

    def write(self, frame: Frame, prepared: Any) -> None:
        """Take what `prepare` made of one frame; in the frames' order."""


class StopRequested(Exception):  # noqa: N818 - no error
    """The person at the screen wants no more frames."""


@dataclass(frozen=True)
class Wanted:
    """What `detect` shall write.

    `output`: marked pictures or a marked video, or with `hide` such without recognisable faces.
    `json`, `csv`: files for the faces, `count` a CSV file for their number in each picture; `-`
    for standard output. `crops`: folder for the faces as pictures of their own, with `margin` as a
    share of the box around them. `show`: each picture on the screen. `labels`: write scores where
    there is room for them.
    """

    output: Path | None = None
    json: str | None = None
    csv: str | None = None
    count: str | None = None
    crops: Path | None = None
    margin: float = 0.2
    hide: Hiding | None = None
    show: bool = False
    labels: bool = True

    def __post_init__(self) -> None:
        if [self.json, self.csv, self.count].count("-") > 1:
            raise InputError("only one of --json, --csv and --count can go to standard output")
        if self.hide is not None and not (self.output or self.show):
            raise InputError(f"--{self.hide}: give -o for the pictures without recognisable faces")

    @property
    def pixels(self) -> bool:
        """Whether pictures are written or shown, and not faces alone."""
        return self.output is not None or self.crops is not None or self.show

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
    paint: Paint = partial(draw_faces, labels=wanted.labels)
    if wanted.hide is not None:
        paint = partial(hide_faces, how=wanted.hide)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if wanted.output is not None:
            sinks.append(stack.enter_context(Marked(frames, wanted.output, paint)))
        if wanted.crops is not None:
            sinks.append(CropSink(wanted.crops, wanted.margin))
        if wanted.json is not None:
            sinks.append(stack.enter_context(json_sink(wanted.json)))
        if wanted.csv is not None:
            sinks.append(stack.enter_context(csv_sink(wanted.csv)))
        if wanted.count is not None:
            sinks.append(CountSink(stack.enter_context(text_target(wanted.count))))
        if wanted.show:
            sinks.append(_Screen(paint))
        yield sinks


def refuse_wanted(frames: FrameSource, wanted: Wanted) -> None:
    """Refuse what cannot be written or shown, before a network is loaded; writes nothing.

    Raises:
        InputError: the output cannot hold what `frames` delivers, or there is no screen.
    """
    if wanted.output is not None:
        refuse_output(frames, wanted.output)
    if wanted.show:
        _require_screen()


def _require_screen() -> None:
    # OpenCV's toolkit ends the whole process where it finds no screen.
    named = {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if sys.platform.startswith("linux") and not named:
        raise InputError("--show: there is no screen (DISPLAY is not set); write pictures with -o")
    try:
        cv2.namedWindow(_WINDOW)
    except cv2.error as error:
        raise InputError(
            "--show: this OpenCV has no windows; replace the package opencv-python-headless by "
            "opencv-python, or write pictures with -o"
        ) from error


class _Screen:
    def __init__(self, paint: Paint) -> None:
        self._paint = paint

    def prepare(self, frame: Frame, faces: Faces) -> Image:
        return self._paint(frame.image, faces)

    def write(self, frame: Frame, prepared: Image) -> None:
        try:
            cv2.imshow(_WINDOW, prepared)
            pause = 0 if frame.index is None else 1
            if cv2.waitKey(pause) & 0xFF in (ord("q"), 27):
                raise StopRequested
        except cv2.error as error:
            raise InputError(f"--show: the window is gone ({error}); use -o") from error
