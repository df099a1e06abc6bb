"""`bench submit` and `bench table`: a result to hand on, and many of them in one table."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, write_json, write_output


def register(bench: typer.Typer) -> None:
    """Add the commands."""
    bench.command("submit")(submit)
    bench.command("table")(table)


def submit(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="From `bench --json`.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to send in; `-` for standard output."),
    ] = Path("submission.json"),
) -> None:
    """Reduce a result to machine, versions and figures, to hand on; nothing is sent.

    No host name, no paths; a network that is not in the registry is `another network`.
    """
    from ultraface_deploy.bench.submission import Submission

    write_json(Submission.load(result), str(output))
    if str(output) != "-":
        note(f"{output}: look through it, it is all there is; nothing has been sent")


def table(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="From `bench submit` or `bench --json`."),
    ],
    into: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option("--into", help="Put the table between the markers of this Markdown file."),
    ] = None,
) -> None:
    """Show results of several boards as one Markdown table, beside the published one."""
    from ultraface_deploy.bench.collection import boards_table
    from ultraface_deploy.bench.submission import Submission
    from ultraface_deploy.safe.marked import insert

    text = boards_table([Submission.load(file) for file in files])
    if into is None:
        write_output(text, "-")
    else:
        insert(text, into, "boards")
