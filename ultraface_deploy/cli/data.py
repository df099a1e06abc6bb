"""`data`: bring data sets into the layout that training reads."""

# Tested by tests/train/test_command.py.

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ultraface_deploy.cli.options import ClassNames
from ultraface_deploy.safe.text import counted


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Prepare data sets for training.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("prepare")(prepare)
    app.add_typer(group, name="data")


def prepare(
    root: Annotated[
        Path, typer.Argument(help="Data set in the WIDER FACE, RetinaFace, VOC or YOLO layout.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the VOC data set.")],
    min_face: Annotated[
        float, typer.Option(help="Drop faces with a side below this many pixels.", min=0)
    ] = 10.0,
    class_names: ClassNames = None,
) -> None:
    """Turn a data set into the VOC layout; re-runs change only what has changed."""
    from ultraface_deploy.cli.console import note, note_some, progress, results
    from ultraface_deploy.train.data.classes import Classes
    from ultraface_deploy.train.data.prepare import prepare as write_voc
    from ultraface_deploy.train.data.source import read_splits

    classes = Classes.parse(class_names)
    splits = read_splits(root, note, classes)
    names = {label: name for name, label in reversed(list(classes.wanted.items()))}
    # One label alone is the face, whatever it was called.
    several = names if len(names) > 1 else None
    skipped: list[str] = []
    with progress() as display:
        bar = display.add_task("preparing", total=sum(map(len, splits.values())))
        advance = partial(display.advance, bar)
        summary = write_voc(splits, output, min_face, skipped.append, advance, several)
    note_some("skipped", skipped)
    for split, count in summary.images.items():
        results.print(
            f"{split}: {counted(count, 'image')}, {counted(summary.faces[split], 'face')}"
        )
    for sizes, count in summary.histogram.items():
        results.print(f"faces of {sizes} px: {count}")
    results.print(
        f"left out: {counted(summary.dropped_faces, 'face')} under {min_face:g} px, "
        f"{counted(summary.empty_images, 'image')} without a face, "
        f"{counted(summary.damaged_images, 'damaged image')}"
    )
