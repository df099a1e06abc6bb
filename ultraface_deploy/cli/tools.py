"""`tools`: makers' tools in environments of their own."""

# Tested by tests/safe/test_toolbox.py.

from __future__ import annotations

from typing import Annotated

import typer

from ultraface_deploy.cli.console import note, notes, results

Name = Annotated[str, typer.Argument(help="Name of the tool, as `tools list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Tools of chip makers, each in an environment of its own.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list")(list_tools)
    group.command("install")(install)
    group.command("remove")(remove)
    app.add_typer(group, name="tools")


def list_tools() -> None:
    """List the tools: what they are, what they need, whether they are installed."""
    from rich.table import Table

    from ultraface_deploy.safe import toolbox

    table = Table()
    for heading in ("name", "what", "Python", "download", "on disk", "installed"):
        table.add_column(heading, no_wrap=heading == "name", overflow="fold")
    for tool in toolbox.TOOLS.values():
        there = toolbox.installed(tool.name)
        where = "no" if there is None else str(toolbox.folder_of(tool.name))
        pythons = ", ".join(tool.pythons)
        sizes = (f"{tool.download_mb} MB", f"{tool.disk_mb} MB")
        table.add_row(tool.name, tool.what, pythons, *sizes, where)
    results.print(table)


def install(name: Name) -> None:
    """Download a tool into an environment of its own; says what, from where, and how large."""
    from ultraface_deploy.safe import toolbox

    with notes.status(f"installing {name}"):
        toolbox.install(name, report=note)
    note(f"done: {toolbox.folder_of(name)}")


def remove(name: Name) -> None:
    """Remove a tool's environment."""
    from ultraface_deploy.safe import toolbox

    there = toolbox.remove(name)
    note(f"removed: {toolbox.folder_of(name)}" if there else f"{name} is not installed")
