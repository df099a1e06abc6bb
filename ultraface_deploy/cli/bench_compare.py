"""`bench compare`: did a change make it faster?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import results, write_json
from ultraface_deploy.cli.options import JsonTarget

if TYPE_CHECKING:
    from ultraface_deploy.bench.comparison import Difference

_MAY_DIFFER = ("machine", "artifact", "input")


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("compare")(compare)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="Earlier result.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="Later result.")],
    stage: Annotated[
        str, typer.Option("--stage", help="preprocess, inference, postprocess or end_to_end.")
    ] = "inference",
    ignore: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--ignore", metavar="WHAT", help="Compare although machine, artifact or input differ."
        ),
    ] = None,
    fail_if_slower: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--fail-if-slower",
            min=1.0,
            metavar="FACTOR",
            help="Exit 1 when a configuration is shown to be slower by more than this, as 1.05.",
        ),
    ] = None,
    json: JsonTarget = None,
) -> None:
    """Compare two results of `bench --json`: ratios of undisturbed times with 95 % intervals."""
    from ultraface_deploy.bench import compare as comparison
    from ultraface_deploy.bench.result import STAGES, BenchReport
    from ultraface_deploy.errors import CheckFailed, InputError

    if stage not in STAGES:
        raise InputError(f"--stage {stage}: unknown; there are {', '.join(STAGES)}")
    if unknown := set(ignore or ()) - set(_MAY_DIFFER):
        raise InputError(f"--ignore {unknown.pop()}: unknown; there are {', '.join(_MAY_DIFFER)}")
    found = comparison(
        BenchReport.load(before), BenchReport.load(after), stage, frozenset(ignore or ())
    )
    if json is not None:
        write_json({"schema": 1, "results": [item.to_dict() for item in found]}, json)
    if json != "-":
        _print(found)
    slower = [d for d in found if fail_if_slower and d.slower_than(fail_if_slower)]
    if slower:
        raise CheckFailed(
            f"{len(slower)} of {len(found)} configurations became slower by more than "
            f"{fail_if_slower:g}: {slower[0].configuration} by {slower[0].ratio:.3f}"
        )


def _print(found: list[Difference]) -> None:
    from rich.table import Table

    table = Table(title=f"{found[0].stage.replace('_', ' ')}, undisturbed (median) ms")
    table.add_column("configuration")
    for heading in ("before", "after", "ratio", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for d in found:
        table.add_row(
            d.configuration,
            f"{d.before_ms:.2f} ({d.before_median_ms:.2f})",
            f"{d.after_ms:.2f} ({d.after_median_ms:.2f})",
            f"{d.ratio:.3f}",
            f"{d.ratio_low:.3f} to {d.ratio_high:.3f}",
            d.verdict,
        )
    results.print(table)
