"""`eval compare`: what a change costs; `eval table`: results for a README."""

# Tested by tests/accuracy/test_compare.py.

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, results, write_json, write_output
from ultraface_deploy.cli.options import JsonTarget

# Typer reads annotations at run time, and Python 3.10 is still there.
OptionalPath = Optional[Path]  # noqa: UP045


def compare(
    before: Annotated[Path, typer.Argument(help="Result of eval --json: the baseline.")],
    after: Annotated[Path, typer.Argument(help="Result of eval --json to compare with it.")],
    max_drop: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--max-drop", min=0.0, help="Exit 1 when AP drops by more than this."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=100, help="Bootstrap samples.")] = 1000,
    confidence: Annotated[
        float, typer.Option("--confidence", min=0.5, max=0.999, help="Level of the interval.")
    ] = 0.95,
    json: JsonTarget = None,
) -> None:
    """Compare two results on the same images, with a bootstrap interval over images.

    One result in BEFORE is compared with every one in AFTER; of several, those of the same
    artifact, backend and precision. --max-drop looks at the measured drop of every set, not at
    the interval.
    """
    from ultraface_deploy.accuracy import compare_results, pair_up, read_results
    from ultraface_deploy.accuracy.text import pairing_table
    from ultraface_deploy.errors import CheckFailed

    (settings, first), (others, second) = read_results(before), read_results(after)
    if differing := [key for key in settings if others.get(key) != settings[key]]:
        note(f"the two were measured under different settings: {', '.join(differing)}")
    pairings = [compare_results(*pair, samples, confidence) for pair in pair_up(first, second)]
    if json != "-":
        for pairing in pairings:
            results.print(pairing_table(pairing, confidence))
    if json is not None:
        comparisons = [pairing.to_dict() for pairing in pairings]
        write_json({"schema": 1, "confidence": confidence, "comparisons": comparisons}, json)
    too_much = [p for p in pairings if max_drop is not None and p.largest_drop > max_drop]
    if too_much:
        raise CheckFailed(
            "; ".join(
                f"{p.after.label} loses {p.largest_drop:.4f} AP against {p.before.label}"
                for p in too_much
            )
            + f", more than --max-drop {max_drop:g}"
        )


def table(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]FILE...",
            help="Results of eval --json on WIDER FACE, with the name to show for the model.",
        ),
    ],
    into: Annotated[
        OptionalPath,
        typer.Option("--into", help="Put the table between the markers of this Markdown file."),
    ] = None,
    brief: Annotated[
        bool,
        typer.Option("--brief", help="One row per model and precision: the worst of each figure."),
    ] = False,
) -> None:
    """Make the accuracy table of a README from results, beside the published figures of others."""
    from ultraface_deploy.accuracy import read_results
    from ultraface_deploy.accuracy.markdown import accuracy_table
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.safe.marked import insert
    from ultraface_deploy.wider import SETS

    models = []
    for given in files:
        name, separator, path = ("", "", given) if Path(given).exists() else given.rpartition("=")
        _, found = read_results(Path(path))
        if any(result.tally.sets != SETS for result in found):
            raise InputError(
                f"{path}: is not a result on WIDER FACE; those on your own pictures are set side "
                "by side by: ultraface-deploy eval compare BEFORE AFTER"
            )
        models.append((name if separator else None, found))
    text = accuracy_table(models, brief)
    if into is None:
        write_output(text, "-")
    else:
        insert(text, into, "accuracy")
