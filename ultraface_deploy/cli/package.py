"""`package`: a C++ project around one artifact."""

# Tested by tests/sdk/test_project.py.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ultraface_deploy.cli.console import note, notes
from ultraface_deploy.cli.options import Folder
from ultraface_deploy.cli.quantize import Calibration


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("package")(package)


def package(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to create.")],
    folder: Folder = None,
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="NAME", help="ncnn or mnn.")
    ] = "ncnn",
    precision: Annotated[
        str, typer.Option("--precision", metavar="NAME", help="fp32, fp16 or int8.")
    ] = "fp32",
    calibration: Calibration = None,
    embed_model: Annotated[
        bool, typer.Option("--embed-model", help="Put the weights into the library.")
    ] = False,
    fetch_runtime: Annotated[
        bool,
        typer.Option(
            "--fetch-runtime", help="Download ncnn's source from PyPI into the project (55 MB)."
        ),
    ] = False,
) -> None:
    """Write a C++ project (library, C interface, demo) that finds the same faces.

    Its README.md says how to build it on the board and how to cross-compile.
    """
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.artifacts.convert import Step
    from ultraface_deploy.artifacts.ensure import ensure
    from ultraface_deploy.quantize import Int8Options
    from ultraface_deploy.sdk import parse_runtime, write_project
    from ultraface_deploy.sdk.fetch import SOURCE, fetch_ncnn, require_fetchable

    chosen = parse_runtime(runtime)
    if fetch_runtime:
        require_fetchable(chosen)
    step = Step(chosen, parse_precision(precision))
    options = Int8Options(calibration=calibration)
    options.require_readable()
    artifacts = ensure(folder, [step], report=note, int8=options)
    written = write_project(artifacts, output, chosen, step.precision, embed_model)
    if fetch_runtime:
        with notes.status("downloading ncnn's source"):
            fetch_ncnn(output / SOURCE)
        note(f"{output / SOURCE}: NCNN of the commands in README.md")
    note(f"done: {output} ({len(written)} files); {output / 'README.md'} says how to build it")
