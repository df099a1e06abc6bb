"""Where what was found goes, one frame at a time: marked pictures, JSON, CSV, a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ultraface_deploy.detect import parquet
from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.detect.marked import CropSink, Marked, Paint, refuse_output
from ultraface_deploy.detect.shape import squared
from ultraface_deploy.detect.sink import Sink, StopRequested
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.detect.tables import open_tables
from ultraface_deploy.detect.unfinished import unfinished
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.drawing import draw_faces
from ultraface_deploy.pipeline.hiding import Hiding, hide_faces
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2

_WINDOW = "ultraface-deploy"


@dataclass(frozen=True)
class Wanted:
    """What `detect` shall write.

    `output`: marked pictures or a marked video, or with `hide` such without recognisable faces.
    `json`, `jsonl`, `csv`, `parquet`: files for the faces, `count` a CSV file for their number in
    each picture; `-` for standard output. `resume`: keep what is done beside them until all is, and
    go on with what a run that was killed has kept. `crops`: folder for the faces as pictures of
    their own, with `margin` as a share of the box around them. `show`: each picture on the screen.
    `labels`: write scores where there is room for them.
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
    jsonl: str | None = None
    parquet: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if list(self.tables.values()).count("-") > 1:
            raise InputError(
                "only one of `json`, `jsonl`, `csv`, `count` and `parquet` can go to standard "
                "output; give the others a file"
            )
        if self.resume and (self.on_stdout or not self.tables):
            raise InputError(
                "`resume` goes on with files: give one with `jsonl`, `parquet`, `json`, `csv` or "
                "`count`"
            )
        if self.resume and self.pixels:
            raise InputError(
                "`resume`: pictures (`output`, `crop`, `show`) cannot be gone on with; "
                "leave one out"
            )
        if self.hide is not None and not (self.output or self.show):
            raise InputError(
                f"`{self.hide}`: give `output` for the pictures without recognisable faces"
            )

    @property
    def pixels(self) -> bool:
        """Whether pictures are written or shown, and not faces alone."""
        return self.output is not None or self.crops is not None or self.show

    @property
    def tables(self) -> dict[str, str]:
        """The files of rows by their kind, those that are wanted."""
        kinds = ("jsonl", "parquet", "json", "csv", "count")
        return {kind: target for kind in kinds if (target := getattr(self, kind)) is not None}

    @property
    def on_stdout(self) -> bool:
        """Whether standard output is taken."""
        return "-" in self.tables.values()


@contextmanager
def open_sinks(
    frames: FrameSource,
    wanted: Wanted,
    settings: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Iterator[list[Sink]]:
    """Open what was asked for; files appear whole when all frames are done.

    Args:
        frames: decides whether the output is a picture, a folder of pictures or a video.
        wanted: what to write.
        settings: what the results depend on; a run goes on only with the same.
        report: hears of a run that is gone on with, and of a video that cannot have its size.

    Raises:
        InputError: the output cannot hold what `frames` delivers, or cannot be written.
    """
    paint: Paint = partial(draw_faces, labels=wanted.labels)
    if wanted.hide is not None:
        paint = partial(hide_faces, how=wanted.hide)
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if wanted.output is not None:
            sinks.append(stack.enter_context(Marked(frames, wanted.output, paint, report)))
        if wanted.crops is not None:
            sinks.append(CropSink(wanted.crops, wanted.margin))
        if wanted.resume:
            rows = unfinished(wanted.tables, settings or {}, frames, report)
            sinks.append(stack.enter_context(rows))
        elif wanted.tables:
            sinks.append(stack.enter_context(open_tables(wanted.tables, frames.timed)))
        if wanted.show:
            sinks.append(_Screen(paint))
        yield sinks


def refuse_wanted(frames: FrameSource, wanted: Wanted) -> None:
    """Refuse what cannot be written or shown, before a network is loaded; writes nothing.

    Raises:
        InputError: the output cannot hold what `frames` delivers, or there is no screen.
        MissingDependency: a package that writes it is not installed.
    """
    live = [part.kind for part in frames.parts or [frames] if part.kind in ("camera", "stream")]
    if wanted.resume and live:
        raise InputError(f"`resume`: a {live[0]} cannot be gone on with; leave it out")
    if wanted.parquet is not None:
        parquet.require(wanted.parquet)
    if wanted.output is not None:
        refuse_output(frames, wanted.output)
    if wanted.show:
        _require_screen()


def _require_screen() -> None:
    # OpenCV's toolkit ends the whole process where it finds no screen.
    named = {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if sys.platform.startswith("linux") and not named:
        raise InputError(
            "`show`: there is no screen (DISPLAY is not set); write pictures with `output`"
        )
    try:
        cv2.namedWindow(_WINDOW)
    except cv2.error as error:
        raise InputError(
            "`show`: this OpenCV has no windows; replace the package opencv-python-headless by "
            "opencv-python, or write pictures with `output`"
        ) from error


class _Screen(Sink):
    def __init__(self, paint: Paint) -> None:
        self._paint = paint

    def prepare(self, frame: Frame, faces: Faces) -> Image:
        return squared(self._paint(frame.image, faces), frame.pixel)

    def write(self, frame: Frame, prepared: Image) -> None:
        try:
            cv2.imshow(_WINDOW, prepared)
            pause = 0 if frame.index is None else 1
            if cv2.waitKey(pause) & 0xFF in (ord("q"), 27):
                raise StopRequested
        except cv2.error as error:
            raise InputError(f"`show`: the window is gone ({error}); use `output`") from error
