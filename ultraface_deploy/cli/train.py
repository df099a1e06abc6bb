"""`train`: a network from labels, a teacher, or both."""

# Tested by tests/train/test_command.py.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.options import ClassNames, InputSize

if TYPE_CHECKING:
    from ultraface_deploy.train.loop import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    data: Annotated[
        Path,
        typer.Option("--data", help="Data set in the VOC, WIDER FACE, RetinaFace or YOLO layout."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")],
    arch: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option("--arch", help="slim or rfb; default: the recipe's, else slim."),
    ] = None,
    input_size: InputSize = None,
    recipe: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--recipe", help="Recipe (TOML); default: the shipped model's of --arch."),
    ] = None,
    teacher: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            "--teacher", help="Checkpoint of a teacher that the recipe names; repeat for several."
        ),
    ] = None,
    init: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--init", help="Start from this checkpoint (fine-tuning)."),
    ] = None,
    class_names: ClassNames = None,
    classes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--classes", metavar="A,B", help="Train several classes, labelled 1, 2, ..."),
    ] = None,
    gray: Annotated[
        bool, typer.Option("--gray", help="A network with one channel, for gray or infrared.")
    ] = False,
    seed: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--seed", min=0, help="Seed; default: the recipe's."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in --output stopped.")
    ] = False,
    cache: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--cache", help="Folder for decoded images; default: in --output."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that load images.")
    ] = 0,
) -> None:
    """Train a network; under torchrun, on several GPUs. The recipe decides the result."""
    from ultraface_deploy.cli.console import line, note, notes, progress
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.train import require_torch
    from ultraface_deploy.train.data.classes import Classes
    from ultraface_deploy.train.recipe import choose_recipe

    if classes is not None and class_names:
        raise InputError("--class and --classes exclude each other")
    chosen = Classes.parse(class_names) if classes is None else Classes.in_order(classes)
    plan = choose_recipe(arch, recipe, input_size, seed)
    if gray:
        plan = replace(plan, color="gray")
    require_torch()
    from ultraface_deploy.train.processes import rank
    from ultraface_deploy.train.run import train as run

    with progress() as display:
        bar = display.add_task("decoding")
        epochs = EpochLines()

        def show(state: Progress) -> None:
            display.update(bar, description=str(state), completed=state.step, total=state.steps)
            said = None if notes.is_terminal or rank() != 0 else epochs.said(state)
            if said is not None:
                note(said)

        best = run(
            data,
            output,
            plan,
            teachers=teacher or (),
            init=init,
            resume=resume,
            classes=chosen,
            cache=cache,
            workers=workers,
            report=note if rank() == 0 else lambda message: None,
            on_image=lambda total: display.update(bar, advance=1, total=total),
            on_step=show,
        )
    if rank() == 0:
        line(str(best))


class EpochLines:
    """One line an epoch, for logs and terminals that show no bar."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stage: tuple[str, float, int] | None = None

    def said(self, state: Progress) -> str | None:
        """Return the line of the epoch that ends with this step, None within one."""
        now = self._clock()
        if self._stage is None or self._stage[0] != state.stage:
            self._stage = state.stage, now, state.epoch
        if state.step < state.steps:
            return None
        _, begun, first = self._stage
        an_epoch = (now - begun) / (state.epoch + 1 - first)
        left = an_epoch * (state.epochs - state.epoch - 1) / 60
        return f"{state}, about {left:.0f} min to the end of this stage"
