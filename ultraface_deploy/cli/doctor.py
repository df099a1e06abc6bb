"""`doctor`: what is installed, what this processor can do, what is missing and how to get it."""

# Tested by tests/cli/test_commands.py.

from __future__ import annotations

import typer

from ultraface_deploy.cli.console import results, write_json
from ultraface_deploy.cli.options import JsonTarget


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(json: JsonTarget = None) -> None:
    """Say what is installed, what this processor can do, and what is missing."""
    from rich.table import Table

    from ultraface_deploy.doctor import examine

    report = examine()
    if json is not None:
        write_json(report, json)
    if json == "-":
        return
    machine = report["machine"]
    results.print(
        f"ultraface-deploy {report['version']} on Python {machine['python']}, {machine['system']}\n"
        f"processor: {machine['cpu']}, {machine['cores']} cores usable\n"
        f"features:  {', '.join(machine['features']) or 'unknown'}"
    )
    for kind in ("backends", "converters"):
        table = Table(title=kind)
        for heading in ("name", "version", "reads" if kind == "backends" else "from", "missing"):
            table.add_column(heading, no_wrap=heading != "missing")
        for row in report[kind]:
            table.add_row(row["name"], row["version"] or "-", row["reads"], row["missing"] or "")
        results.print(table)
