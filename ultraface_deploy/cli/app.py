"""Puts the commands together and turns errors into one line and an exit code."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

from ultraface_deploy import __version__
from ultraface_deploy.cli import config, console, idle, paths, signals, spelling, streams, usage
from ultraface_deploy.cli.everywhere import Everywhere
from ultraface_deploy.errors import InputError, UltraFaceError
from ultraface_deploy.safe.refusals import said_by_system

# Each module of this package adds its command with `register(app)`, in the order of the help.
COMMANDS = (
    *("convert", "verify", "bench", "detect", "serve", "evaluate", "quantize"),
    *("package", "data", "train", "models", "tools", "doctor"),
)


def build_app() -> typer.Typer:
    """Return the command line with all commands; imports no torch and no runtime."""
    app = typer.Typer(
        name="ultraface-deploy",
        help="From an UltraFace checkpoint to verified, benchmarked artifacts for small boards.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
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
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Show what runtimes and tools print by themselves."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Only results and errors: no notes, no progress.")
    ] = False,
    log_file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option("--log-file", help="Add notes, results and errors to this file too."),
    ] = None,
) -> None:
    """Options of every command; `Everywhere` reads them, here they only stand in the help."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0, 1, 2, 3 (see `errors`) or 130 (Ctrl-C)."""
    _show_warnings()
    signals.arrange()
    asked = Everywhere()
    try:
        streams.require_three()
        arguments = sys.argv[1:] if arguments is None else arguments
        usage.require_values(arguments, lambda: typer.main.get_command(build_app()))
        asked = Everywhere.of(arguments)
        streams.arrange(show_native=asked.verbose)
        console.set_up(asked.quiet, asked.log_file)
        _require_place()
        _run(asked.rest)
    except UltraFaceError as error:
        if asked.debug:
            raise
        _fail(str(error), error.exit_code)
    except OSError as error:
        if asked.debug:
            raise
        _fail(said_by_system(error, "input/output"), 2)
    except streams.ReaderGone:
        sys.exit(0)
    except signals.Interrupted:
        signals.ignore()
        _fail("interrupted", 130)
    except signals.Terminated as told:
        signals.end_as_told(told)


def _require_place() -> None:
    """Refuse to start in a folder that is gone: torch would end the process without a word.

    Raises:
        InputError: it is.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise InputError("the working directory is gone; change to another") from error


def _run(arguments: list[str]) -> None:
    command = typer.main.get_command(build_app())
    paths.check_first(command)
    idle.check_first(command)
    console.spell(spelling.options_of(command, arguments))
    try:
        code = command(
            arguments,
            prog_name=usage.PROGRAM,
            default_map=config.defaults(command),
            standalone_mode=False,
        )
    except usage.Refusal as error:
        if not usage.is_bare(error):
            raise InputError(usage.said(error, command, arguments)) from error
        typer.echo(error, err=True)
        code = InputError.exit_code
    except SystemExit:
        streams.finish()
        raise
    streams.finish()
    sys.exit(code or 0)


class _Notes(logging.Handler):
    """Shows each message once: a command may read a file several times."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if (message := record.getMessage()) not in self._said:
            self._said.add(message)
            console.note(message)


def _show_warnings() -> None:
    """Show what the library warns of like any other note."""
    logger = logging.getLogger("ultraface_deploy")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes(logging.WARNING))


def _fail(message: str, code: int) -> NoReturn:
    console.error(message)
    sys.exit(code)
