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
from rich.text import Text

from ultraface_deploy.safe.text import printable, printable_lines


class _Literal(Console):
    """A console that shows text as it is: no markup, no escape sequence from a file's name.

    Table cells pass through here too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text), **options)


notes = _Literal(stderr=True, soft_wrap=True)
# A pipe or a file has no width; tables go there unbroken.
results = _Literal(width=None if sys.stdout.isatty() else 140)


def note(message: str) -> None:
    """Tell the user something that is not a result, in one line."""
    notes.print(printable(message))


def line(message: str) -> None:
    """Print a result in one line, however long."""
    results.print(printable(message), soft_wrap=True)


def counted(number: int, what: str) -> str:
    """Return `1 face`, `2 faces`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


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
