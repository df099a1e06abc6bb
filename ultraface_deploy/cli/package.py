"""`package`: a C++ project, or a page for the browser, around one artifact."""

# Tested by tests/sdk/test_project.py.

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, notes
from ultraface_deploy.cli.options import Folder, precision_option
from ultraface_deploy.cli.quantize import Calibration
from ultraface_deploy.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("package")(package)


def package(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to create.")],
    folder: Folder = None,
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="NAME", help="ncnn, mnn, c, or web for the browser.")
    ] = "ncnn",
    precision: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        precision_option("; default fp32, for web int8"),
    ] = None,
    calibration: Calibration = None,
    embed_model: Annotated[
        bool,
        typer.Option(
            "--embed-model", help="Put the weights into the library, where c has them anyway."
        ),
    ] = False,
    binding: Annotated[
        Optional[list[str]],  # noqa: UP045 - as above
        typer.Option(
            "--binding",
            metavar="NAME",
            help="Add the library for a language (repeatable); an unknown NAME lists them.",
            show_default=False,
        ),
    ] = None,
    fetch_runtime: Annotated[
        bool,
        typer.Option(
            "--fetch-runtime", help="Download ncnn's source from PyPI into the project (55 MB)."
        ),
    ] = False,
) -> None:
    """Write a C++ project (library, C interface, demo), or a web page, that finds the same faces.

    README.md in it says how to build it on the board and how to cross-compile. --binding adds
    other languages, with a set of pictures that their tests must find the same faces in. With
    --runtime web: a page and a package for npm, the detector compiled to WebAssembly.
    """
    from ultraface_deploy.sdk import web

    if runtime == web.NAME:
        if binding:
            raise InputError("--binding: goes with the C++ project; choose another --runtime")
        _for_the_web(output, folder, precision, calibration, embed_model, fetch_runtime)
    else:
        chosen = precision or "fp32"
        languages = binding or []
        _in_cpp(output, folder, runtime, chosen, calibration, embed_model, languages, fetch_runtime)


def _for_the_web(
    output: Path,
    folder: Path | None,
    precision: str | None,
    calibration: Path | None,
    embed_model: bool,
    fetch_runtime: bool,
) -> None:
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.artifacts.ensure import ensure
    from ultraface_deploy.artifacts.plan import Step
    from ultraface_deploy.quantize import Int8Options
    from ultraface_deploy.sdk import web
    from ultraface_deploy.sdk.project import require_new

    for option, given in (("--embed-model", embed_model), ("--fetch-runtime", fetch_runtime)):
        if given:
            raise InputError(
                f"{option}: --runtime web always holds the model, and no runtime; leave it out"
            )
    step = Step("c", parse_precision(precision or "int8"))
    web.require_precision(step.precision)
    web.require_compiler()
    require_new(output)
    options = Int8Options(calibration=calibration)
    options.require_readable()
    artifacts = ensure(folder, [step], report=note, int8=options)
    with notes.status("compiling to WebAssembly"):
        compared = web.write_web(artifacts, output, step.precision)
    note(compared)
    note(f"done: {output}; open it with: {sys.executable} -m http.server -d {quote(str(output))}")


def _in_cpp(
    output: Path,
    folder: Path | None,
    runtime: str,
    precision: str,
    calibration: Path | None,
    embed_model: bool,
    languages: list[str],
    fetch_runtime: bool,
) -> None:
    from ultraface_deploy.agreement.precision import parse_precision
    from ultraface_deploy.artifacts.ensure import ensure
    from ultraface_deploy.artifacts.plan import Step
    from ultraface_deploy.quantize import Int8Options
    from ultraface_deploy.sdk import parse_runtime, write_project
    from ultraface_deploy.sdk.fetch import SOURCE, fetch_ncnn, require_fetchable
    from ultraface_deploy.sdk.languages import parse_bindings
    from ultraface_deploy.sdk.project import require_new

    chosen = parse_runtime(runtime)
    parse_bindings(languages)
    if fetch_runtime:
        require_fetchable(chosen)
    step = Step(chosen, parse_precision(precision))
    require_new(output)
    options = Int8Options(calibration=calibration)
    options.require_readable()
    artifacts = ensure(folder, [step], report=note, int8=options)
    said = artifacts.find(step.format, step.precision).verification or {}
    if how := said.get("compared_by"):
        note(f"{step.format} {step.precision} was compared with {said['reference']} by the {how}")
    written = write_project(artifacts, output, chosen, step.precision, embed_model, languages)
    if fetch_runtime:
        with notes.status("downloading ncnn's source"):
            fetch_ncnn(output / SOURCE)
        note(f"{output / SOURCE}: NCNN of the commands in README.md")
    note(f"done: {output} ({len(written)} files); {output / 'README.md'} says how to build it")
