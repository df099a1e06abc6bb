"""Where output goes: results to standard output, progress and notes to standard error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

notes = Console(stderr=True, highlight=False, soft_wrap=True)
# A pipe or a file has no width; tables go there unbroken.
results = Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def note(message: str) -> None:
    """Tell the user something that is not a result."""
    notes.print(message, markup=False)


def progress() -> Progress:
    """Return a progress display on standard error; silent where that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
    )


def write_json(data: Any, target: str) -> None:
    """Write records as JSON to a file, or to standard output for `-`."""
    from ultraface_deploy.safe.records import encode

    write_output(encode(data), target)


def write_output(text: str, target: str) -> None:
    """Write text to a file, or to standard output for `-`."""
    from ultraface_deploy.safe.files import write_text

    if target == "-":
        typer.echo(text, nl=False)
    else:
        write_text(Path(target), text)
