"""`bench recommend`: the fastest configuration within limits, and the command that uses it."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.bench_options import EvalFile, configurations_of
from ultraface_deploy.cli.bench_run import measure_here
from ultraface_deploy.cli.console import line, note

if TYPE_CHECKING:
    from ultraface_deploy.bench.result import BenchReport

# More are seldom faster, and each costs a further measurement of every runtime.
_MOST_THREADS = 4


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("recommend")(recommend)


def recommend(
    result: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(
            metavar="RESULT.json",
            help="From `bench --json`; without one what is installed is measured first.",
            show_default=False,
        ),
    ] = None,
    max_ms: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--max-ms", min=0.0, help="Maximum median end-to-end time."),
    ] = None,
    max_cores: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max-cores", min=1, help="Maximum number of cores."),
    ] = None,
    min_ap: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--min-ap", metavar="AP", help="Minimum AP: 0.45 (hard) or easy:0.77; needs --eval."
        ),
    ] = None,
    eval_file: EvalFile = None,
) -> None:
    """Print the fastest verified configuration within the limits and the command to use it."""
    from ultraface_deploy.bench.accuracy import Accuracies
    from ultraface_deploy.bench.recommend import Limits, parse_min_ap, recommend
    from ultraface_deploy.bench.result import BenchReport

    ap_set, least = ("hard", None) if min_ap is None else parse_min_ap(min_ap)
    accuracies = None if eval_file is None else Accuracies.load(eval_file)
    report = _measured_now(max_cores) if result is None else BenchReport.load(result)
    chosen = recommend(report, Limits(max_ms, max_cores, least, ap_set), accuracies)
    row = chosen.measurement.row("end_to_end")
    for warning in chosen.measurement.warnings:
        note(f"warning: {chosen.measurement.title}: {warning}")
    line(f"{chosen.measurement.title}: {row.median_ms:.2f} ms end to end, {row.fps:.0f} fps")
    line(chosen.command)


def _measured_now(max_cores: int | None) -> BenchReport:
    """Measure the default model in every installed runtime, on as many cores as there are."""
    from ultraface_deploy.bench.cores import choose_cores

    note("no RESULT.json given: measuring what is installed; `bench --json FILE` keeps a result")
    cores = choose_cores(None)
    most = min(len(cores), max_cores or len(cores), _MOST_THREADS)
    return measure_here(configurations_of(None, None, None, None, f"1-{most}"), cores=cores)
