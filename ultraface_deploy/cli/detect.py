"""`detect`: faces in an image, a folder, a glob, a video or a camera's pictures."""

# Tested by tests/cli/test_commands.py.

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ultraface_deploy.cli.console import counted, line, note, progress
from ultraface_deploy.cli.options import InputSize, JsonTarget, ScoreThreshold, Threads
from ultraface_deploy.models import DEFAULT_MODEL


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect)


def detect(
    source: Annotated[str, typer.Argument(help="Image, folder, glob, video file or camera index.")],
    model: Annotated[
        str, typer.Option("--model", help="Artifact folder, model file or registry name.")
    ] = DEFAULT_MODEL,
    backend: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option("--backend", help="Runtime; default: the first installed that reads MODEL."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    threads: Threads = 1,
    input_size: InputSize = None,
    threshold: ScoreThreshold = None,
    iou: Annotated[
        float, typer.Option("--iou", min=0, max=1, help="IoU above which NMS suppresses.")
    ] = 0.3,
    nms: Annotated[str, typer.Option("--nms", help="hard, soft or blend.")] = "hard",
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Marked picture or video; a folder for several."),
    ] = None,
    json: JsonTarget = None,
    csv: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--csv", metavar="FILE", help="Write faces as CSV; `-` for standard output."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show each picture (q ends).")] = False,
    limit: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--limit", min=1, help="Stop after so many pictures."),
    ] = None,
) -> None:
    """Find faces; mark them in a picture or video, or write them as JSON or CSV."""
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.detect.detector import open_detector
    from ultraface_deploy.detect.run import run
    from ultraface_deploy.detect.sinks import open_sinks
    from ultraface_deploy.detect.sources import open_source
    from ultraface_deploy.errors import CheckFailed
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.pipeline.nms import parse_nms
    from ultraface_deploy.pipeline.postprocess import PostprocessOptions

    options = PostprocessOptions(threshold, iou, parse_nms(nms))
    size = None if input_size is None else parse_input_size(input_size)
    frames = open_source(source)
    detector = open_detector(
        model, backend, parse_precision(precision), threads, options, size, report=note
    )
    total = limit if frames.count is None else min(frames.count, limit or frames.count)
    with detector, open_sinks(frames, output, json, csv, show) as sinks, progress() as bar:
        task = bar.add_task("detecting", total=total)
        for frame, faces in run(detector, frames, sinks, limit):
            bar.advance(task)
            if json != "-" and csv != "-":
                label = frame.name if frame.index is None else f"{frame.name} #{frame.index}"
                line(f"{label}: {counted(len(faces), 'face')}")
    if frames.unreadable:
        for problem in frames.unreadable:
            note(f"skipped: {problem}")
        raise CheckFailed(f"{len(frames.unreadable)} of {frames.count} pictures were unreadable")
    if frames.stopped:
        raise CheckFailed(f"{frames.stopped}; what was found until then is complete")
