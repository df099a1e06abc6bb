"""The measurements of `bench` as a table that fits the terminal."""

# Tested by tests/cli/test_bench.py.

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ultraface_deploy.cli.console import note, results

if TYPE_CHECKING:
    from ultraface_deploy.bench.measurement import Measurement, Row, Stage
    from ultraface_deploy.bench.result import BenchReport


def show_table(report: BenchReport) -> None:
    """Print the measurements, and their warnings below."""
    from rich.box import SIMPLE
    from rich.table import Table

    from ultraface_deploy.bench.tables import labels, machine_line, warnings_of

    columns = _columns(results.width)
    table = Table(
        title=f"ms on {machine_line(report)}", caption=_caption(report), box=SIMPLE, pad_edge=False
    )
    table.add_column("configuration", overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    label = labels(report.measurements)
    for m in report.measurements:
        excess = " *" if m.threads > len(m.cores) else ""
        name = f"{label(m)} x{m.threads}{excess}"
        table.add_row(name, *(cell(m) for cell in columns.values()))
    if report.measurements:
        results.print(table)
    for warning, names in warnings_of(report).items():
        note(f"warning: {warning}: {names}")


def _columns(width: int) -> dict[str, Callable[[Measurement], str]]:
    """Return the columns that fit: an SSH terminal has 80 characters, a wide one shows all."""

    def row(stage: Stage, form: Callable[[Row], str]) -> Callable[[Measurement], str]:
        return lambda m: form(m.row(stage))

    columns: dict[str, Callable[[Measurement], str]] = {
        "inference": lambda m: f"{m.row('inference').median_ms:.2f}{' !' if _doubtful(m) else ''}",
        "± %": row("inference", lambda r: f"{half_width(r):.1f}"),
        "p90": row("inference", lambda r: f"{r.p90_ms:.2f}"),
        "end to end": row("end_to_end", lambda r: f"{r.median_ms:.2f}"),
        "fps": row("end_to_end", lambda r: f"{r.fps:.0f}"),
    }
    if width >= 110:
        columns |= {
            "p99": row("inference", lambda r: f"{r.p99_ms:.2f}"),
            "cold start": row("end_to_end", lambda r: f"{r.cold_start_ms:.0f}"),
            "MB": row("end_to_end", lambda r: f"{r.peak_rss_mb:.0f}"),
        }
    return columns | {"kB": lambda m: f"{m.model_bytes / 1000:.0f}"}


def half_width(row: Row) -> float:
    """Half the confidence interval, in percent of the median."""
    return 100 * (row.ci_high_ms - row.ci_low_ms) / 2 / row.median_ms


def _doubtful(measurement: Measurement) -> bool:
    """Whether there is a warning besides the one that the number of threads carries."""
    return len(measurement.warnings) > (measurement.threads > len(measurement.cores))


def _caption(report: BenchReport) -> str:
    marks = []
    if any(m.threads > len(m.cores) for m in report.measurements):
        marks.append("* more threads than cores at hand")
    if any(_doubtful(m) for m in report.measurements):
        marks.append("! doubtful: see the warnings")
    return "; ".join(marks)
