"""`bench --emulate CORE` and its set-up: an Arm core without a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ultraface_deploy.cli.console import note, progress, results, write_json

if TYPE_CHECKING:
    from ultraface_deploy.bench.emulate.count import Count
    from ultraface_deploy.bench.emulate.report import CountDifference, CountReport
    from ultraface_deploy.bench.plan import Configuration


def register(bench: typer.Typer) -> None:
    """Add the set-up command."""
    bench.command("emulate-setup")(emulate_setup)


def emulate_setup() -> None:
    """Install what `bench --emulate` needs; says first what it downloads."""
    from ultraface_deploy.bench.emulate.sysroot import Sysroot, describe_setup, is_current, set_up

    sysroot = Sysroot.default()
    if not is_current(sysroot):
        note(describe_setup(sysroot))
        set_up(sysroot, note)
    note(f"ready: {sysroot.path}")


def run_emulated(
    found: list[Configuration], core: str, photographs: list[Path], json: str | None
) -> None:
    """Run the configurations on an emulated core and print or write what was counted.

    Raises:
        CheckFailed: an artifact does not run there, or computes something else.
    """
    from ultraface_deploy.bench.emulate.count import count_instructions
    from ultraface_deploy.bench.emulate.report import CountReport
    from ultraface_deploy.bench.emulate.sysroot import Sysroot
    from ultraface_deploy.errors import CheckFailed

    with progress() as display:
        task = display.add_task("", total=len(found), completed=-1)

        def show(configuration: Configuration) -> None:
            c = configuration
            display.update(task, description=f"{core} {c.backend} {c.artifact.precision}")
            display.advance(task)

        counts = count_instructions(found, core, None, photographs, show)
    if json is not None:
        report = CountReport(core, Sysroot.default().versions(), tuple(counts))
        write_json(report, json)
    if json != "-":
        _print(core, counts)
    if failed := [count for count in counts if not count.passed]:
        raise CheckFailed(
            "; ".join(f"{c.artifact} on {c.backend}, {core}: {c.reason}" for c in failed)
        )


def compare_emulated(
    before: CountReport, after: CountReport, ignore: frozenset[str], json: str | None
) -> list[CountDifference]:
    """Compare two results, print or write the differences, and return them."""
    from rich.table import Table

    from ultraface_deploy.bench.emulate.report import compare_counts

    found = compare_counts(before, after, ignore)
    if json is not None:
        write_json({"schema": 1, "results": found}, json)
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
    return found


def _print(core: str, counts: list[Count]) -> None:
    from rich.table import Table

    table = Table(
        title=f"million instructions per inference on an emulated {core}, one thread",
        caption="as here: F1 of the faces against those the same artifact finds on this machine. "
        "Instructions rank kernels on one core; they are not latencies.",
    )
    for heading in ("model", "backend", "precision", "agrees"):
        table.add_column(heading, no_wrap=True)
    for heading in ("as here", "all", "FMA", "dot", "int mul", "load/store", "floor of MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in counts:
        classes = (c.instructions, c.fma, c.dot_product, c.integer_multiply, c.load_store, c.floor)
        cells = ("-" if value is None else f"{value / 1e6:.2f}" for value in classes)
        here = "-" if c.as_here is None else f"{c.as_here:.3f}"
        table.add_row(c.model, c.backend, c.precision, "yes" if c.passed else "NO", here, *cells)
    results.print(table)
