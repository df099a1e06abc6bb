"""Puts the commands together and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated

import click
import typer

from ultraface_deploy import __version__
from ultraface_deploy.cli.console import notes
from ultraface_deploy.errors import UltraFaceError

# Each module of this package adds its command with `register(app)`, in the order of the help.
COMMANDS = ("convert", "verify", "bench", "detect", "models", "doctor", "train")


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


def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback where an error is reported.")
    ] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0, 1, 2, 3 (see `errors`) or 130 (Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # --debug works anywhere on the line: people add it at the end of the command that failed.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = build_app()(arguments, prog_name="ultraface-deploy", standalone_mode=False)
    except UltraFaceError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, less) is gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if debug:
            raise
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 2)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> None:
    notes.show_cursor(True)
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)
