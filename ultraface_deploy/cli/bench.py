"""`bench`: what each configuration costs, and what follows from that."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from ultraface_deploy.cli import (
    bench_compare,
    bench_count,
    bench_recommend,
    bench_report,
    bench_run,
    bench_submit,
)
from ultraface_deploy.cli.peers import bench_peers
from ultraface_deploy.errors import InputError

# What `bench` itself did before these commands did it.
_MOVED = {
    "--emulate": "bench count CORE",
    "emulate-setup": "bench count --setup",
    "--html": "bench report RESULT.json, from a result of bench --json",
} | dict.fromkeys(
    ("--recommend", "--max-ms", "--max-cores", "--min-ap"),
    "bench recommend RESULT.json, from a result of bench --json",
)


class _MeasureByDefault(TyperGroup):
    """`bench DIR` is short for `bench run DIR`: only the other commands need their name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        if args[0] == "run":
            _refuse_moved(args[1:])
        return super().parse_args(ctx, args)


def _refuse_moved(args: list[str]) -> None:
    for argument in args:
        option = argument.partition("=")[0]
        if option in _MOVED:
            raise InputError(f"bench {option}: this is now ultraface-deploy {_MOVED[option]}")


def register(app: typer.Typer) -> None:
    """Add the command with its subcommands."""
    bench = typer.Typer(cls=_MeasureByDefault, rich_markup_mode=None)
    tools = (bench_run, bench_count, bench_compare, bench_report, bench_recommend, bench_submit)
    for tool in tools:
        tool.register(bench)
    bench.command("peers")(bench_peers)
    app.add_typer(bench, name="bench", help="Measure latency; compare two measurements.")
