"""`data`: bring data sets into the layout that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Prepare data sets for training.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("prepare")(prepare)
    app.add_typer(group, name="data")


def prepare(
    root: Annotated[
        Path, typer.Argument(help="WIDER FACE folder (official or RetinaFace labels).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the VOC data set.")],
    min_face: Annotated[
        float, typer.Option(help="Drop faces with a side below this many pixels.", min=0)
    ] = 10.0,
) -> None:
    """Turn WIDER FACE into the VOC layout; re-runs change only what has changed."""
    from ultraface_deploy.cli.console import note, progress, results
    from ultraface_deploy.train.data.prepare import prepare as write_voc
    from ultraface_deploy.train.data.source import read_splits

    skipped = 0

    def skip(message: str) -> None:
        nonlocal skipped
        skipped += 1
        note(message)

    splits = read_splits(root, skip)
    with progress() as display:
        bar = display.add_task("preparing", total=sum(map(len, splits.values())))
        summary = write_voc(splits, output, min_face, note, lambda: display.advance(bar))
    for split, count in summary.images.items():
        results.print(f"{split}: {count} images, {summary.faces[split]} faces")
    for sizes, count in summary.histogram.items():
        results.print(f"faces of {sizes} px: {count}")
    results.print(
        f"left out: {summary.dropped_faces} faces under {min_face:g} px, "
        f"{summary.empty_images} images without a face, {summary.damaged_images} damaged images, "
        f"{skipped} damaged rows"
    )
