"""`bench compare`: did a change make it faster?"""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ultraface_deploy.cli.console import note, results, write_json
from ultraface_deploy.cli.options import JsonTarget

if TYPE_CHECKING:
    from ultraface_deploy.bench.comparison import Difference
    from ultraface_deploy.bench.count.report import CountDifference, CountReport

_MAY_DIFFER = ("machine", "artifact", "input", "image")


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("compare")(compare)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="Earlier result.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="Later result.")],
    stage: Annotated[
        str, typer.Option("--stage", help="preprocess, inference, postprocess or end_to_end.")
    ] = "inference",
    ignore: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--ignore",
            metavar="WHAT",
            help="Compare although machine, artifact, input or image differ.",
        ),
    ] = None,
    fail_if_slower: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--fail-if-slower",
            min=1.0,
            metavar="FACTOR",
            help="Exit 1 when a configuration is slower by more than this factor, such as 1.05.",
        ),
    ] = None,
    json: JsonTarget = None,
) -> None:
    """Compare two results of `bench --json`: ratios of undisturbed times with 95 % intervals.

    Two results of `bench count --json` are compared by their instructions.
    """
    from ultraface_deploy.bench.comparison import RESOLUTION
    from ultraface_deploy.bench.count.report import CountReport, lost_counts
    from ultraface_deploy.errors import CheckFailed, InputError

    if unknown := set(ignore or ()) - set(_MAY_DIFFER):
        raise InputError(f"--ignore {unknown.pop()}: unknown; choose from {', '.join(_MAY_DIFFER)}")
    may_differ = frozenset(ignore or ())
    counted = [CountReport.load(path) for path in (before, after)]
    if counted[0] is not None and counted[1] is not None:
        counts = _compare_counts(counted[0], counted[1], may_differ, json)
        worse = [(d.configuration, d.ratio) for d in counts if d.verdict == "more"]
        lost = lost_counts(counted[0], counted[1])
    elif counted == [None, None]:
        if fail_if_slower is not None and fail_if_slower < 1 + RESOLUTION:
            raise InputError(
                f"--fail-if-slower {fail_if_slower:g}: differences below {RESOLUTION:.0%} are not "
                f"told from noise; give {1 + RESOLUTION:g} or more"
            )
        times, lost = _compare_times(before, after, stage, may_differ, json)
        worse = [(d.configuration, d.shown_ratio) for d in times if d.verdict == "slower"]
    else:
        raise InputError(
            f"{before} and {after}: one holds times, the other instructions; give two of one kind"
        )
    if fail_if_slower is None:
        return
    if lost:
        raise CheckFailed(f"{len(lost)} timed in {before} but not in {after}: {lost[0]}")
    if beyond := [(name, ratio) for name, ratio in worse if ratio > fail_if_slower]:
        raise CheckFailed(
            f"{len(beyond)} configuration{'s' if len(beyond) > 1 else ''} became slower by more "
            f"than {fail_if_slower:g}: {beyond[0][0]} by {beyond[0][1]:.3f}"
        )


def _compare_counts(
    before: CountReport, after: CountReport, ignore: frozenset[str], json: str | None
) -> list[CountDifference]:
    """Compare two results, print or write the differences, and return them."""
    from rich.table import Table

    from ultraface_deploy.bench.count.report import compare_counts

    found = compare_counts(before, after, ignore)
    if json != "-":
        table = Table(title="million instructions per inference")
        table.add_column("configuration")
        for heading in ("before", "after", "ratio"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for d in found:
            numbers = (f"{d.before / 1e6:.2f}", f"{d.after / 1e6:.2f}", f"{d.ratio:.4f}")
            table.add_row(d.configuration, *numbers, d.verdict)
        results.print(table)
    if json is not None:
        write_json({"schema": 1, "results": found}, json)
    return found


def _compare_times(
    before: Path, after: Path, stage: str, ignore: frozenset[str], json: str | None
) -> tuple[list[Difference], list[str]]:
    """Print or write the differences; return them, and what the later result lacks."""
    from ultraface_deploy.bench.comparison import compare_reports, not_in_both
    from ultraface_deploy.bench.measurement import STAGES
    from ultraface_deploy.bench.result import BenchReport
    from ultraface_deploy.errors import InputError

    if stage not in STAGES:
        raise InputError(f"--stage {stage}: unknown; choose from {', '.join(STAGES)}")
    old, new = BenchReport.load(before), BenchReport.load(after)
    found = compare_reports(old, new, stage, ignore)
    lost, added = not_in_both(old, new, ignore)
    for title in lost:
        note(f"only in {before}: {title}")
    for title in added:
        note(f"only in {after}: {title}")
    if json != "-":
        _print(found)
    if json is not None:
        write_json({"schema": 1, "results": found, "only_before": lost, "only_after": added}, json)
    return found, lost


def _print(found: list[Difference]) -> None:
    from rich.table import Table

    table = Table(title=f"{found[0].stage.replace('_', ' ')}, undisturbed (median) ms")
    table.add_column("configuration")
    for heading in ("before", "after", "ratio", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for d in found:
        table.add_row(
            d.configuration,
            f"{d.before_ms:.2f} ({d.before_median_ms:.2f})",
            f"{d.after_ms:.2f} ({d.after_median_ms:.2f})",
            f"{d.ratio:.3f}",
            f"{d.ratio_low:.3f} to {d.ratio_high:.3f}",
            d.verdict + (f" (median {d.median_ratio:.2f})" if d.by_median else ""),
        )
    results.print(table)
