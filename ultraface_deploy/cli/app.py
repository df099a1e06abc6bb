"""Puts the commands together and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Annotated, NoReturn

import typer

from ultraface_deploy import __version__
from ultraface_deploy.cli.console import notes
from ultraface_deploy.errors import UltraFaceError
from ultraface_deploy.safe.text import printable

# Each module of this package adds its command with `register(app)`, in the order of the help.
COMMANDS = (
    *("convert", "verify", "bench", "detect", "evaluate", "quantize", "package"),
    *("data", "train", "models", "doctor"),
)


def build_app() -> typer.Typer:
    """Return the command line with all commands; imports no torch and no runtime."""
    app = typer.Typer(
        name="ultraface-deploy",
        help="From an UltraFace checkpoint to verified, benchmarked artifacts for small boards.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_common)
    for command in COMMANDS:
        import_module(f"ultraface_deploy.cli.{command}").register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback where an error is reported.")
    ] = False,
) -> None:
    """Options of every command; each acts by itself."""


class _Interrupted(BaseException):
    """Ctrl-C. Not KeyboardInterrupt, which some versions of typer turn into exit code 1."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0, 1, 2, 3 (see `errors`) or 130 (Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _results_only_on_stdout()
    signal.signal(signal.SIGINT, _interrupt)
    # --debug works anywhere on the line: people add it at the end of the command that failed.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        build_app()(arguments, prog_name="ultraface-deploy")
    except UltraFaceError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except OSError as error:
        if debug:
            raise
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 2)
    except _Interrupted:
        _fail("interrupted", 130)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted


def _results_only_on_stdout() -> None:
    """Send what native code prints to standard error; only our results go to standard output."""
    stream = sys.__stdout__
    if stream is not None and sys.stdout is stream:
        stream.flush()
        sys.stdout = os.fdopen(os.dup(1), "w", encoding=stream.encoding)
        os.dup2(2, 1)


def _fail(message: str, code: int) -> NoReturn:
    notes.show_cursor(True)
    typer.echo(f"error: {printable(message)}", err=True)
    sys.exit(code)
