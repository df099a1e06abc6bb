"""`ultraface-deploy train`: train a network from labels, a teacher, or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    data: Annotated[Path, typer.Option(help="Data set: VOC, WIDER FACE or RetinaFace layout.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    recipe: Annotated[Path, typer.Option(help="Recipe (TOML).")],
    teacher: Annotated[
        list[Path] | None, typer.Option(help="Checkpoint of a teacher the recipe names; repeats.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Start from this checkpoint.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that load images.")] = 0,
) -> None:
    """Train a network; see the recipes for what decides the result."""
    from ultraface_deploy.checkpoint import load_checkpoint
    from ultraface_deploy.cli.console import note, progress
    from ultraface_deploy.data import read_dataset
    from ultraface_deploy.data.cache import ImageCache
    from ultraface_deploy.files import sha256_of
    from ultraface_deploy.models import known_checkpoint
    from ultraface_deploy.train.loop import Progress, Trainer
    from ultraface_deploy.train.recipe import load_recipe

    plan = load_recipe(recipe)
    samples = read_dataset(data, "train", note)
    teachers = {}
    for path in teacher or []:
        entry = known_checkpoint(sha256_of(path))
        teachers[entry.name if entry else path.stem] = load_checkpoint(path)
    with progress() as display:
        bar = display.add_task("decoding", total=len(samples))
        cache = ImageCache(samples, output.parent / "cache", 640, lambda: display.advance(bar))

        def show(state: Progress) -> None:
            display.update(
                bar,
                description=f"{state.stage} {state.epoch + 1}/{state.epochs} loss {state.loss:.3f}",
                completed=state.step,
                total=state.steps,
            )

        trainer = Trainer(
            plan,
            samples,
            output,
            teachers=teachers,
            init=None if init is None else load_checkpoint(init),
            cache=cache,
            workers=workers,
            on_step=show,
        )
        if resume and (output / "last.pth").exists():
            trainer.resume(output / "last.pth")
        best = trainer.fit()
    note(f"wrote {best}")
