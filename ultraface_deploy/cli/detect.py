"""`detect`: faces in an image, a folder, a glob, a video or a camera's pictures."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, note_some, progress
from ultraface_deploy.cli.engine import (
    Address,
    Engine,
    ShardSize,
    detect_with_ray,
    require_engine,
)
from ultraface_deploy.cli.options import (
    Backend,
    ColorOrder,
    Device,
    IgnoreOutputs,
    InputSize,
    JsonTarget,
    KeepAspect,
    Mean,
    Model,
    Precision,
    ScoreThreshold,
    Std,
    Threads,
    choose_device,
)
from ultraface_deploy.models import DEFAULT_MODEL
from ultraface_deploy.safe.text import counted

if TYPE_CHECKING:
    from ultraface_deploy.detect.sources import FrameSource

# Times the network's input: what a JPEG keeps of its width and height when it is decoded smaller.
_ENOUGH = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect)


def detect(
    sources: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(
            metavar="SOURCE",
            help="Images, folders, globs, video files, cameras (0, /dev/video0 or picamera2) or "
            "streams (rtsp://, http://); without one the photograph that ships.",
            show_default=False,
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    backend: Backend = None,
    precision: Precision = "fp32",
    threads: Threads = 1,
    workers: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--workers",
            min=1,
            max=256,
            help="Pictures worked on at a time; default: as many as pay, measured at the start.",
        ),
    ] = None,
    full_decode: Annotated[
        bool,
        typer.Option(
            "--full-decode",
            help="Decode large JPEGs with all their pixels also where only faces are wanted.",
        ),
    ] = False,
    device: Device = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    color: ColorOrder = None,
    ignore_outputs: IgnoreOutputs = False,
    threshold: ScoreThreshold = None,
    iou: Annotated[
        float, typer.Option("--iou", min=0, max=1, help="IoU above which NMS suppresses.")
    ] = 0.3,
    nms: Annotated[str, typer.Option("--nms", help="hard, soft or blend.")] = "hard",
    keep_aspect: KeepAspect = False,
    tiles: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--tiles",
            metavar="auto|RxC",
            help="Look at overlapping parts too, for small faces in large pictures.",
        ),
    ] = None,
    overlap: Annotated[
        float,
        typer.Option("--tile-overlap", min=0, max=0.89, help="Share of a tile that two share."),
    ] = 0.25,
    roi: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--roi", metavar="X,Y,W,H", help="Look at this part alone, in pixels."),
    ] = None,
    min_size: Annotated[
        float, typer.Option("--min-size", min=0, help="Shortest side of a face in pixels.")
    ] = 0.0,
    max_size: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--max-size", min=0, help="Longest side of a face in pixels."),
    ] = None,
    clip: Annotated[
        bool, typer.Option("--clip", help="Cut boxes off at the borders of the picture.")
    ] = False,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Marked picture or video; a folder for several."),
    ] = None,
    blur: Annotated[
        bool, typer.Option("--blur", help="Make the faces in -o unrecognisable instead of marked.")
    ] = False,
    pixelate: Annotated[
        bool, typer.Option("--pixelate", help="Like --blur, with visible squares.")
    ] = False,
    crop: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--crop", metavar="DIR", help="Write each face as a picture into it."),
    ] = None,
    margin: Annotated[
        float,
        typer.Option("--crop-margin", min=0, max=10, help="Share of the box around each crop."),
    ] = 0.2,
    json: JsonTarget = None,
    csv: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--csv", metavar="FILE", help="Write faces as CSV; `-` for standard output."),
    ] = None,
    jsonl: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--jsonl",
            metavar="FILE",
            help="Write a JSON object a line for each picture, unreadable ones too; or `-`.",
        ),
    ] = None,
    parquet: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--parquet", metavar="FILE", help="Write the same rows as Parquet (needs pyarrow)."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Keep what is done if the run is killed, and go on after that."
        ),
    ] = False,
    count: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--count", metavar="FILE", help="Write the number of faces as CSV; or `-`."),
    ] = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Mark faces in -o without their scores.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Show each picture (q ends).")] = False,
    limit: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--limit", min=1, help="Stop after so many pictures."),
    ] = None,
    engine: Engine = None,
    address: Address = None,
    shard_size: ShardSize = 1000,
    reconnect: Annotated[
        float,
        typer.Option(
            "--reconnect", metavar="S", min=0, help="Give a stream up after this without a picture."
        ),
    ] = 30.0,
) -> None:
    """Find faces; mark them in a picture or video, or write them as JSON or CSV."""
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.cli.found import Found
    from ultraface_deploy.cli.recording import Recording
    from ultraface_deploy.detect.detector import open_detector
    from ultraface_deploy.detect.opening import open_sources
    from ultraface_deploy.detect.run import Workers, run
    from ultraface_deploy.detect.sinks import Wanted, open_sinks, refuse_wanted
    from ultraface_deploy.detect.unfinished import settings_of
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.family.known import parse_known
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.pipeline.nms import parse_nms
    from ultraface_deploy.pipeline.postprocess import PostprocessOptions
    from ultraface_deploy.pipeline.view import View, parse_roi, parse_tiles

    options = PostprocessOptions(threshold, iou, parse_nms(nms))
    size = None if input_size is None else parse_input_size(input_size)
    if blur and pixelate:
        raise InputError("--blur and --pixelate exclude each other; give one")
    wanted = Wanted(
        output,
        json,
        csv,
        count,
        crop,
        margin,
        "blur" if blur else "pixelate" if pixelate else None,
        show,
        not no_labels,
        jsonl,
        parquet,
        resume,
    )
    view = View(
        keep_aspect,
        None if tiles is None else parse_tiles(tiles),
        overlap,
        None if roi is None else parse_roi(roi),
        min_size,
        max_size,
        clip,
    )
    choose_device(device)
    known = parse_known(mean, std, color, ignore_outputs)
    opening = partial(
        open_detector,
        *(model, backend, parse_precision(precision), threads, options, size),
        view=view,
        known=known,
    )
    if require_engine(engine, address):
        if not sources:
            raise InputError("--engine ray: give a SOURCE")
        detect_with_ray(
            *(sources, wanted, opening, {"--limit": limit, "--workers": workers}),
            address=address,
            threads=threads,
            full_decode=full_decode,
            pictures=shard_size,
        )
        return
    sources = sources or [_shipped_photograph()]
    frames = open_sources(sources, reconnect)
    refuse_wanted(frames, wanted)
    another = partial(opening, report=note)
    total = limit if frames.count is None else min(frames.count, limit or frames.count)
    found, several = Found(), Workers(workers, another, threads, note)
    recording = Recording(frames)
    with (
        another() as detector,
        open_sinks(
            frames, wanted, settings_of(detector, sources, full_decode) if resume else None, note
        ) as sinks,
        progress() as bar,
        recording,
        closing(run(detector, frames, sinks, limit, several)) as results,
    ):
        task = bar.add_task("detecting", total=total, completed=frames.before)
        if not (full_decode or wanted.pixels or view.parts_only):
            frames.enough(_ENOUGH * detector.spec.width, _ENOUGH * detector.spec.height)
        for frame, faces in results:
            bar.advance(task)
            recording.pictures += 1
            if not wanted.on_stdout:
                found.add(frame, len(faces))
    found.end()
    recording.end()
    _require_whole(frames)


def _shipped_photograph() -> str:
    from ultraface_deploy.safe.images import DEMO_PHOTO

    note("no SOURCE given: looking at the photograph that ships; give a picture, folder or camera")
    return str(DEMO_PHOTO)


def _require_whole(frames: FrameSource) -> None:
    """Say what could not be read.

    Raises:
        CheckFailed: pictures, or the rest of a video.
    """
    from ultraface_deploy.errors import CheckFailed

    note_some("damaged", frames.damaged)
    if frames.damaged:
        note(f"{counted(len(frames.damaged), 'picture')} could be read only in part")
    note_some("skipped", frames.unreadable)
    if frames.unreadable:
        lost = len(frames.unreadable)
        said = counted(lost, "picture")
        if frames.count is not None:
            said = f"{lost} of {counted(frames.count, 'picture')}"
        raise CheckFailed(f"{said} could not be read")
    if frames.stopped:
        raise CheckFailed(f"{frames.stopped}; what was found until then is complete")
