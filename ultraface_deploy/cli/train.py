"""`train`: a network from labels, a teacher, or both."""

# Tested by tests/train/test_command.py.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.options import ClassNames, InputSize

if TYPE_CHECKING:
    from ultraface_deploy.train.data import Classes
    from ultraface_deploy.train.data.cache import Store
    from ultraface_deploy.train.recipe import Recipe
    from ultraface_deploy.train.stage import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def _list_recipes(wanted: bool) -> None:
    if not wanted:
        return
    from ultraface_deploy.cli.console import line
    from ultraface_deploy.train.recipe import recipe_text, shipped_recipes

    for name in shipped_recipes():
        comment = takewhile(lambda row: row.startswith("#"), recipe_text(name).splitlines())
        sentence = " ".join(row.lstrip("# ") for row in comment).partition(". ")[0]
        line(f"{name}: {sentence.rstrip('.')}")
    raise typer.Exit


def _show_recipe(name: str | None) -> None:
    if name is None:
        return
    from ultraface_deploy.train.recipe import recipe_text

    typer.echo(recipe_text(name), nl=False)
    raise typer.Exit


def _place(cache: Path | None) -> Path | Store:
    """Return where the decoded images shall lie: one of the stores, or a folder."""
    named: dict[str, Store] = {"disk": "disk", "ram": "ram", "off": "off"}
    return "disk" if cache is None else named.get(str(cache), cache)


def train(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="Data set in the VOC, WIDER FACE, RetinaFace or YOLO layout; repeats."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run.")],
    arch: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option("--arch", help="slim or rfb; default: the recipe's, else slim."),
    ] = None,
    input_size: InputSize = None,
    recipe: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="A recipe by name, or a TOML file; default: slim-320.",
        ),
    ] = None,
    epochs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--epochs", min=1, help="Of the recipe's last stage."),
    ] = None,
    lr: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--lr", min=0.0, help="Learning rate of the recipe's last stage."),
    ] = None,
    batch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--batch", min=1, help="Batch size of the recipe's last stage."),
    ] = None,
    teacher: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            "--teacher", help="A teacher that the recipe names: a .pth, or YuNet's .onnx; repeats."
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
        typer.Option(
            "--cache",
            metavar="disk|ram|off|DIR",
            help="Where decoded images lie: in --output, in memory, nowhere, or in a folder.",
        ),
    ] = None,
    max_minutes: Annotated[
        float,
        typer.Option(
            "--max-minutes",
            min=0.0,
            help="End the run after this time; the last stage's schedule fits in.",
        ),
    ] = 0.0,
    estimated: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Say how long the recipe takes here, from a few steps; train nothing.",
        ),
    ] = False,
    _list: Annotated[
        bool,
        typer.Option(
            "--list-recipes", is_eager=True, callback=_list_recipes, help="Name the recipes."
        ),
    ] = False,
    _show: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--show-recipe", metavar="NAME", is_eager=True, callback=_show_recipe, help="Print one."
        ),
    ] = None,
) -> None:
    """Train a network; under torchrun, on several GPUs. The recipe decides the result."""
    from ultraface_deploy.cli.console import line, note, progress
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.train import require_torch
    from ultraface_deploy.train.data.classes import Classes
    from ultraface_deploy.train.recipe import choose_recipe

    if classes is not None and class_names:
        raise InputError("--class and --classes exclude each other; give one")
    chosen = Classes.parse(class_names) if classes is None else Classes.in_order(classes)
    plan = choose_recipe(arch, recipe, input_size, seed, epochs=epochs, lr=lr, batch_size=batch)
    if gray:
        plan = replace(plan, color="gray")
    require_torch()
    if estimated:
        _estimate(data, plan, teacher or (), chosen)
        return
    from ultraface_deploy.train.processes import rank
    from ultraface_deploy.train.run import train as run

    with progress() as display:
        bar = display.add_task("decoding")
        lines = EpochLines()

        def decoded(total: int) -> None:
            display.update(bar, advance=1, total=total)

        def show(state: Progress) -> None:
            display.update(bar, description=str(state), completed=state.step, total=state.steps)
            lines.begin(state)

        def tell(state: Progress) -> None:
            if rank() == 0:
                note(lines.said(state))

        best = run(
            data,
            output,
            plan,
            teachers=teacher or (),
            init=init,
            resume=resume,
            classes=chosen,
            cache=_place(cache),
            max_minutes=max_minutes,
            report=note if rank() == 0 else lambda message: None,
            on_image=decoded,
            on_step=show,
            on_epoch=tell,
        )
    if rank() == 0:
        note(f"how it went: {output / 'training.html'}")
        line(str(best))


def _estimate(
    data: list[Path], plan: Recipe, teachers: Sequence[Path], classes: Classes | None
) -> None:
    from ultraface_deploy.cli.console import line, note
    from ultraface_deploy.train.data import read_dataset
    from ultraface_deploy.train.estimate import estimate
    from ultraface_deploy.train.run import find_teachers

    found = find_teachers(plan, teachers)
    parts, costs = [read_dataset(root, "train", note, classes) for root in data], []
    for cost in estimate(plan, parts, found):
        line(str(cost))
        costs.append(cost)
    hours = sum(cost.hours for cost in costs)
    processor = sum(cost.processor_hours for cost in costs)
    line(f"in all {hours:.1f} h, {processor:.1f} h of processor time")


class EpochLines:
    """One line an epoch: loss, AP where it was measured, and how long the stage may still take."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stage: tuple[str, float, float] | None = None

    def begin(self, state: Progress) -> None:
        """Note when a stage began, and how much of it was over then."""
        if self._stage is None or self._stage[0] != state.stage:
            self._stage = state.stage, self._clock(), state.done

    def said(self, state: Progress) -> str:
        """Return the line of an epoch that has ended."""
        self.begin(state)
        assert self._stage is not None
        _, begun, first = self._stage
        gone = state.done - first
        left = (self._clock() - begun) * (1 - state.done) / gone if gone > 0 else 0.0
        return f"{state}, about {max(0.0, left) / 60:.0f} min to the end of this stage"
