"""`models`: what ships and what can be pulled."""

# Tested by tests/cli/test_commands.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.progress import Progress, TaskID

from ultraface_deploy.cli.console import line, note, progress, results, write_json, write_output
from ultraface_deploy.cli.options import InputSize, JsonTarget

_Holdouts = Annotated[
    Optional[list[float]],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option(
        "--holdout",
        min=0.0,
        max=1.0,
        help="Share kept of each data set, as in the recipe; repeats. Default: 0.04.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="The models that ship, and those that can be downloaded.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list")(list_models)
    group.command("info")(info)
    group.command("pull")(pull)
    group.command("balance-scores")(balance_scores)
    group.command("match-scores")(match_scores)
    group.command("scores")(scores)
    group.command("compare")(compare)
    group.command("average")(average)
    app.add_typer(group, name="models")


def list_models(json: JsonTarget = None) -> None:
    """List all models: name, network, input, where it is."""
    from ultraface_deploy.models import registry

    records = [_record(name) for name in registry()]
    if json != "-":
        _print(records)
    if json is not None:
        write_json({"schema": 1, "models": records}, json)


def _print(records: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for heading in ("name", "network", "input", "where", "description"):
        table.add_column(heading, no_wrap=heading != "description")
    for record in records:
        size = f"{record['width']}x{record['height']}"
        table.add_row(
            str(record["name"]),
            str(record["architecture"]),
            size,
            str(record["where"]),
            str(record["description"]),
        )
    results.print(table)


def info(name: Annotated[str, typer.Argument(help="Name of the model.")]) -> None:
    """Show one model's record, and its model card where it has one."""
    from ultraface_deploy.models import FOLDER, find

    find(name)
    for key, value in _record(name).items():
        if value is not None:
            line(f"{key:<14} {value}")
    card = FOLDER / f"{name}.md"
    if card.is_file():
        results.print()
        results.print(card.read_text(), soft_wrap=True)


def pull(
    name: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(help="Name of the model; default: all that can be downloaded."),
    ] = None,
) -> None:
    """Download checkpoints into the user's cache and check their SHA-256."""
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.models import find, registry
    from ultraface_deploy.models.pull import pull as pull_model

    to_pull = {each.name: each for each in registry().values() if not each.embedded}
    if name is not None and name not in registry():
        raise InputError(f"no model named {name!r} to pull; choose from {', '.join(to_pull)}")
    entries = [find(name)] if name else list(to_pull.values())
    for entry in entries:
        with progress() as bar:
            task = bar.add_task(entry.name, total=None)

            def advance(
                done: int, total: int | None, bar: Progress = bar, task: TaskID = task
            ) -> None:
                bar.update(task, completed=done, total=total)

            path = pull_model(entry, advance)
        note(f"{entry.name}: {path}")


def _record(name: str) -> dict[str, object]:
    from dataclasses import asdict

    from ultraface_deploy.models import find
    from ultraface_deploy.models.pull import cache_folder

    entry = find(name)
    cached = (cache_folder() / f"{name}.pth").is_file()
    where = "ships" if entry.embedded else "pulled" if cached else "to pull"
    return asdict(entry) | {"where": where}


def balance_scores(
    checkpoint: Annotated[
        Path, typer.Argument(help="The .pth whose scores shall change, or the name of a model.")
    ],
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Data set that it was trained on; repeats."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new .pth.")],
    holdout: _Holdouts = None,
    pictures: Annotated[
        int, typer.Option("--pictures", min=1, help="How many images to look at.")
    ] = 1200,
    weights: Annotated[
        tuple[float, float, float],
        typer.Option(
            "--weights", min=0.0, help="How often AP of easy, medium and hard faces counts."
        ),
    ] = (1.0, 1.0, 4.0),
) -> None:
    """Rank the boxes of small and large anchors better, at no cost.

    Each kind of anchor gets a scale and a shift of its logits, those with the best AP on images of
    the training, in the last convolutions of the classification heads. Judge the result by `models
    compare` on images that were held out; `models match-scores` then says what thresholds mean.
    """
    from ultraface_deploy.train import require_torch

    require_torch()
    from ultraface_deploy.train.balance import balance_checkpoint

    with progress() as display:
        looked = display.add_task("decoding", total=None)
        fitted = display.add_task("fitting", total=None)
        found = balance_checkpoint(
            *(checkpoint, data, output, holdout or [0.04]),
            images=pictures,
            weights=weights,
            on_image=lambda: display.advance(looked),
            on_step=lambda: display.advance(fitted),
        )
    for name, values in (("scales", found.lines.scales), ("shifts", found.lines.shifts)):
        line(f"{name} {' '.join(f'{value:.2f}' for value in values)}")
    for level, before, after in zip(
        ("easy", "medium", "hard"), found.before, found.after, strict=True
    ):
        line(f"{level}: {before:.4f} -> {after:.4f} on the images it was fitted on")
    line(str(output))


def match_scores(
    checkpoint: Annotated[Path, typer.Argument(help="The .pth whose scores shall change.")],
    like: Annotated[Path, typer.Option("--like", help="The .pth whose scores they shall mean.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Data set that neither was trained on; repeats."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new .pth.")],
    holdout: Annotated[
        float, typer.Option("--holdout", min=0.0, max=1.0, help="Share of the images used.")
    ] = 0.04,
    keep_aspect: Annotated[
        bool, typer.Option("--keep-aspect", help="For pictures that are padded, not stretched.")
    ] = False,
) -> None:
    """Fold a score calibration into a checkpoint, so that old thresholds fit it.

    Afterwards scores of 0.5, 0.6 and 0.7 have as many false positives an image as with the other
    network. Two numbers do it, in the last convolutions of the classification heads: AP stays the
    same, and so does the cost. The images are chosen as in training, by a hash of their names.
    """
    from ultraface_deploy.train import require_torch

    require_torch()
    from ultraface_deploy.train.scores import match_checkpoint

    with progress() as display:
        task = display.add_task("detecting", total=None)
        found = match_checkpoint(
            *(checkpoint, like, data, output, holdout, lambda: display.advance(task)),
            keep_aspect=keep_aspect,
        )
    line(f"scale {found.scale:.4f}, shift {found.shift:.4f}")
    for threshold, own, theirs, now in found.false_positives:
        before = f"{own:.3f} false positives an image, {theirs:.3f} wanted"
        line(f"at {threshold}: {before}, {now:.3f} now")
    for mean, share, count in found.reliability:
        line(f"score {mean:.2f}: {share:.2f} of {count} boxes are faces")
    line(str(output))


def scores(
    checkpoint: Annotated[
        Path, typer.Argument(help="The .pth whose scores are looked at, or the name of a model.")
    ],
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Data set that it was not trained on; repeats."),
    ],
    holdout: Annotated[
        float, typer.Option("--holdout", min=0.0, max=1.0, help="Share of the images used.")
    ] = 0.04,
    faceless: Annotated[
        int, typer.Option("--faceless", min=1, help="How many pictures without faces to make.")
    ] = 120,
    input_size: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--input-size", metavar="WxH", help="Look at this size; repeat."),
    ] = None,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--plot", metavar="FILE", help="Draw the reliability: .svg, .png."),
    ] = None,
    into: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--into", help="Put the tables between the scores markers of this Markdown."),
    ] = None,
) -> None:
    """Say what a checkpoint's scores are worth: reliability, and false alarms where no face is.

    Reliability is the share of boxes of a score that are faces. False positives a picture are
    counted on the data, and on pictures without faces that are made for it: clouds, grain,
    stripes, discs, bricks and landscapes. Pictures are stretched to the input, and then looked at
    once more with kept proportions.
    """
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.pages.plots import require_matplotlib
    from ultraface_deploy.safe.marked import insert, require_markers
    from ultraface_deploy.train import require_torch

    sizes = [parse_input_size(size) for size in input_size or ()]
    require_torch()
    from ultraface_deploy.train.score_report import (
        check_picture,
        draw_reliability,
        report_scores,
        score_tables,
    )

    if into is not None:
        require_markers(into, "scores")
    if plot is not None:
        check_picture(plot)
        require_matplotlib(wanted="drawing the reliability")
    with progress() as display:
        task = display.add_task("detecting", total=None)
        found = report_scores(
            checkpoint, data, holdout, faceless, sizes, lambda: display.advance(task)
        )
    if plot is not None:
        draw_reliability(found, plot)
    if into is None:
        write_output(score_tables(found), "-")
    else:
        insert(score_tables(found), into, "scores")


def compare(
    before: Annotated[
        Path, typer.Argument(help="The baseline: a .pth, .safetensors, or the name of a model.")
    ],
    after: Annotated[Path, typer.Argument(help="What is compared with it.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Data set of which training kept images; repeats."),
    ],
    holdout: _Holdouts = None,
    input_size: InputSize = None,
    samples: Annotated[int, typer.Option("--samples", min=100, help="Bootstrap samples.")] = 1000,
) -> None:
    """Compare two checkpoints on the images that training held out.

    AP of large, middle and all faces in both geometries, with the 95 % interval of the change by
    drawing images anew. Where the interval holds 0, the change may be chance.
    """
    from ultraface_deploy.family.spec import parse_input_size
    from ultraface_deploy.train import require_torch

    size = None if input_size is None else parse_input_size(input_size)
    require_torch()
    from ultraface_deploy.train.compare import compare_held_out, comparison_table

    with progress() as display:
        task = display.add_task("detecting", total=None)
        found = compare_held_out(
            *(before, after, data, holdout or [0.04]),
            size=size,
            draws=samples,
            on_image=lambda: display.advance(task),
        )
    write_output(comparison_table(found), "-")


def average(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", help="Two .pth or more, or names of models."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new .pth.")],
) -> None:
    """Write the mean of several checkpoints that were tuned from the same one.

    Runs that differ in their seed alone end near each other: the mean of their weights is about as
    good as the best of them, so that none has to be chosen. Judge it by `models compare`.
    """
    from ultraface_deploy.train import require_torch

    require_torch()
    from ultraface_deploy.train.average import average_checkpoints

    average_checkpoints(checkpoints, output)
    line(str(output))
