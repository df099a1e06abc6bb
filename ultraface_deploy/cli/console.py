"""Where output goes: results to standard output, progress and notes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ultraface_deploy.cli import fitting
from ultraface_deploy.cli.spelling import spelled
from ultraface_deploy.safe.text import printable, printable_lines


class _Literal(Console):
    """A console that shows text as it is: no markup, no escape sequence from a file's name.

    Table cells pass through here too. No cell is cut: see `fitting`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(spelled(printable_lines(text), _options), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        if len(objects) == 1 and isinstance(objects[0], Table):
            width, before = fitting.needed(objects[0], self), self.width
            if width > before and self.is_terminal:
                super().print(fitting.as_lines(objects[0]), soft_wrap=True)
            elif width > before:
                # A pipe or a file has no width; tables go there unbroken.
                self.width = width
                super().print(objects[0])
                self.width = before
            else:
                super().print(objects[0])
            return
        super().print(*objects, **options)


# Of many problems of one kind so many are shown: the line that sums them up stays in sight.
_SHOWN = 5
# The option of each parameter that the library's messages name.
_options: dict[str, str] = {}
notes = _Literal(stderr=True, soft_wrap=True)
_log_stream: IO[str] | None = None
results = _Literal(width=None if sys.stdout is not None and sys.stdout.isatty() else 140)


def note(message: str) -> None:
    """Tell the user something that is not a result, in one line."""
    notes.print(_said(message))
    _log(message)


def note_some(what: str, problems: Sequence[str]) -> None:
    """Note the first of many problems, a line each, and how many more there are; log them all."""
    for number, problem in enumerate(problems):
        if number < _SHOWN:
            note(f"{what}: {problem}")
        else:
            _log(f"{what}: {problem}")
    if (more := len(problems) - _SHOWN) > 0:
        note(f"{what}: {more} more; --log-file FILE lists them all")


def line(message: str) -> None:
    """Print a result in one line, however long."""
    results.print(_said(message), soft_wrap=True)
    _log(message)


def error(message: str) -> None:
    """Print the one line that says what went wrong, also where notes are switched off."""
    notes.show_cursor(True)
    typer.echo(f"error: {_said(message)}", err=True)
    _log(f"error: {message}")


def set_up(quiet: bool, log_file: str | None) -> None:
    """Switch notes off, and open the log.

    Raises:
        InputError: the log cannot be written.
    """
    from ultraface_deploy.errors import InputError
    from ultraface_deploy.safe.refusals import unwritable

    global _log_stream
    notes.quiet = quiet
    if log_file is not None:
        try:
            # Open until the process ends.
            _log_stream = Path(log_file).open("a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"--log-file {log_file}: {unwritable(error)}") from error


def spell(options: dict[str, str]) -> None:
    """Say from now on how options are spelled where a message names parameters."""
    _options.clear()
    _options.update(options)


def _said(message: str) -> str:
    return spelled(printable(message), _options)


def _log(message: str) -> None:
    if _log_stream is not None:
        when = datetime.now().astimezone().isoformat(timespec="seconds")
        _log_stream.write(f"{when} {_said(message)}\n")
        _log_stream.flush()


class _Doing(ProgressColumn):
    """What a task does, in words from a file or a board: no markup, no escape sequence."""

    def render(self, task: Task) -> Text:
        return Text(printable(task.description))


def progress() -> Progress:
    """Return a progress display on standard error; silent where that is not a terminal."""
    return Progress(
        _Doing(),
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
