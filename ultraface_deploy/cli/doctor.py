"""`doctor`: what is installed, what this processor can do, what is missing and how to get it."""

# Tested by tests/cli/test_commands.py.

from __future__ import annotations

from typing import Annotated, Any

import typer

from ultraface_deploy.cli.console import line, results, write_json
from ultraface_deploy.cli.options import JsonTarget
from ultraface_deploy.safe.text import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    json: JsonTarget = None,
    size: Annotated[
        bool, typer.Option("--size", help="Say what each installed package weighs on disk.")
    ] = False,
) -> None:
    """Say what is installed, what this processor can do, and what is missing."""
    from ultraface_deploy.doctor import examine, sizes

    report = examine()
    if size:
        report["sizes"] = sizes()
    if json != "-":
        _print(report)
    if json is not None:
        write_json(report, json)


def _print(report: dict[str, Any]) -> None:
    machine = report["machine"]
    results.print(
        f"ultraface-deploy {report['version']} on Python {machine['python']}, {machine['system']}\n"
        f"processor: {machine['cpu']}, {counted(machine['cores'], 'core')} usable\n"
        f"features:  {', '.join(machine['features']) or 'unknown'}"
    )
    # By kind, what the third column says.
    for kind, third in (("backends", "reads"), ("converters", "from"), ("tools", "what")):
        _print_kind(kind, third, report[kind])
    for refused in report["refused"]:
        line(refused)
    if "sizes" in report:
        _print_sizes(report["sizes"])


def _print_kind(kind: str, third: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title=kind)
    for heading in ("name", "version", third):
        table.add_column(heading, overflow="fold")
    for row in rows:
        version = row["version"] or ("missing" if row["missing"] else "-")
        table.add_row(row["name"], version, row["reads"])
    results.print(table)
    # Below, not in a cell: a command that is broken into pieces cannot be copied.
    for row in rows:
        if row["missing"]:
            line(row["missing"])


def _print_sizes(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="on disk, the heaviest first")
    for heading in ("package", "version", "MB", "brought by"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for row in rows:
        if row["bytes"] >= 500_000:
            values = (row["package"], row["version"], f"{row['bytes'] / 1e6:.0f}")
            table.add_row(*values, ", ".join(row["extras"]))
    results.print(table)
    base = sum(row["bytes"] for row in rows if row["extras"] == ["base"]) / 1e6
    line(f"base install {base:.0f} MB, all of it {sum(r['bytes'] for r in rows) / 1e6:.0f} MB")
