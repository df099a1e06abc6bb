"""`bench report`: a measurement as a page, as plots, as tables."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.bench_options import EvalFile
from ultraface_deploy.cli.console import note

if TYPE_CHECKING:
    from ultraface_deploy.bench.accuracy import Accuracies
    from ultraface_deploy.bench.result import BenchReport


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("report")(report)


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="From `bench --json`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page: one HTML file with everything in it.")
    ] = Path("bench.html"),
    eval_file: EvalFile = None,
    plots: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--plots", metavar="DIR", help="Write each plot as SVG and PNG too."),
    ] = None,
) -> None:
    """Write a page with tables and plots: latency, speed-up, distribution, accuracy, size."""
    from ultraface_deploy.bench.accuracy import Accuracies
    from ultraface_deploy.bench.html import to_html
    from ultraface_deploy.bench.result import BenchReport
    from ultraface_deploy.safe.files import write_text

    measured = BenchReport.load(result)
    accuracies = None if eval_file is None else Accuracies.load(eval_file)
    write_text(output, to_html(measured, accuracies))
    note(f"{output}")
    if plots is not None:
        _write_plots(plots, measured, accuracies)


def _write_plots(folder: Path, measured: BenchReport, accuracies: Accuracies | None) -> None:
    from ultraface_deploy.bench.plots import figures
    from ultraface_deploy.pages.plots import render
    from ultraface_deploy.safe.files import make_folder, write_bytes

    make_folder(folder)
    for name, figure in figures(measured, accuracies).items():
        for format in ("svg", "png"):
            path = folder / f"{name}.{format}"
            write_bytes(path, render(figure, format))
            note(f"{path}")
