"""What the commands of `bench` share: what to run, and the accuracy beside it."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note
from ultraface_deploy.cli.options import chosen_backends

if TYPE_CHECKING:
    from ultraface_deploy.bench.plan import Configuration
    from ultraface_deploy.family.known import Known

Folders = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Argument(
        metavar="[DIR]...",
        help="Artifact folders, single model files or names of embedded models; without one the "
        "default model's, converted first if need be.",
        show_default=False,
    ),
]
InputSizes = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--input-size", metavar="WxH", help="Convert to this input size first; repeat."),
]
EvalFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--eval", metavar="FILE", help="Result of `eval --json` of the same model."),
]


def configurations_of(
    folders: Sequence[str] | None,
    backend: list[str] | None,
    precision: Sequence[str] | None,
    input_size: Sequence[str] | None,
    threads: str = "1",
    known: Known | None = None,
) -> list[Configuration]:
    """Return what the options ask for, converted where it is not there yet.

    Raises:
        InputError: an option makes no sense, or nothing is left to run.
        MissingDependency: a runtime that was named is not installed.
    """
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.bench.cores import parse_numbers
    from ultraface_deploy.bench.plan import configurations
    from ultraface_deploy.family.known import NOTHING
    from ultraface_deploy.family.spec import parse_input_size

    names = dict.fromkeys(precision or ["fp32"])
    return configurations(
        folders or (),
        chosen_backends(backend),
        None if "all" in names else [parse_precision(name) for name in names],
        parse_numbers(threads, "threads", smallest=1),
        [parse_input_size(text) for text in input_size or ()],
        note,
        known or NOTHING,
    )


def require_folders(found: Sequence[Configuration], what: str) -> None:
    """Refuse single files where the original network must be at hand, elsewhere too.

    Raises:
        InputError: names the first.
    """
    from ultraface_deploy.errors import InputError

    if files := [each.file for each in found if each.file]:
        raise InputError(
            f"{files[0]}: {what} takes artifact folders, not single files; give its folder"
        )


def require_writable(targets: Mapping[str, str | None]) -> None:
    """Find out before minutes of measuring what would keep its result from being written."""
    from ultraface_deploy.errors import InputError

    if list(targets.values()).count("-") > 1:
        raise InputError("only one result can go to standard output; give the others a file")
    for form, target in targets.items():
        folder = Path(target or "-").parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise InputError(
                f"--{form} {target}: {folder} is not a folder that can be written to; "
                "choose another"
            )
