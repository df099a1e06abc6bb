"""`bench recommend`: the fastest configuration within limits, and the command that uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.bench_report import EvalFile
from ultraface_deploy.cli.console import note

if TYPE_CHECKING:
    from ultraface_deploy.bench.accuracy import Accuracies
    from ultraface_deploy.bench.recommend import Limits
    from ultraface_deploy.bench.result import BenchReport

MaxMs = Annotated[
    Optional[float],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option("--max-ms", min=0.0, help="Maximum median end-to-end time."),
]
MaxCores = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--max-cores", min=1, help="Maximum number of cores."),
]
MinAp = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--min-ap", metavar="AP", help="Minimum AP: 0.45 (hard) or easy:0.77; needs --eval."
    ),
]


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("recommend")(recommend)


def recommend(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="From `bench --json`.")],
    max_ms: MaxMs = None,
    max_cores: MaxCores = None,
    min_ap: MinAp = None,
    eval_file: EvalFile = None,
) -> None:
    """Print the fastest verified configuration within the limits and the command to use it."""
    from ultraface_deploy.bench.result import BenchReport

    print_recommendation(BenchReport.load(result), max_ms, max_cores, min_ap, eval_file)


def limits_of(
    max_ms: float | None, max_cores: int | None, min_ap: str | None, eval_file: Path | None
) -> tuple[Limits, Accuracies | None]:
    """Read the options.

    Raises:
        InputError: one of them makes no sense, or there is no evaluation for an AP.
    """
    from ultraface_deploy.bench.accuracy import Accuracies
    from ultraface_deploy.bench.recommend import Limits, parse_min_ap

    ap_set, least = ("hard", None) if min_ap is None else parse_min_ap(min_ap)
    limits = Limits(max_ms, max_cores, least, ap_set)
    accuracies = None if eval_file is None else Accuracies.load(eval_file)
    limits.require(accuracies)
    return limits, accuracies


def print_recommendation(
    report: BenchReport,
    max_ms: float | None,
    max_cores: int | None,
    min_ap: str | None,
    eval_file: Path | None,
    say: Callable[[str], None] = typer.echo,
) -> None:
    """Choose within the limits and print the choice; see `recommend.recommend` for errors."""
    from ultraface_deploy.bench.recommend import recommend

    chosen = recommend(report, *limits_of(max_ms, max_cores, min_ap, eval_file))
    row = chosen.measurement.row("end_to_end")
    for warning in chosen.measurement.warnings:
        note(f"warning: {chosen.measurement.title}: {warning}")
    say(f"{chosen.measurement.title}: {row.median_ms:.2f} ms end to end, {row.fps:.0f} fps")
    say(chosen.command)
