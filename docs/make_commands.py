"""Writes docs/commands.md from the command line itself: python docs/make_commands.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ultraface_deploy.cli.app import build_app

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """# Commands

All commands and options. This page is made from the command line itself
(`python docs/make_commands.py`); `--help` after any command prints the same.

`MODEL` is a `.pth` or `.safetensors`, an `.onnx`, a Caffe `.prototxt`, an artifact folder, or the
name of a model (`ultraface-deploy models list`); the default is the embedded `slim-320`. `DIR` is
an artifact folder. `--json -` writes to standard output, and nothing else goes there: progress and
notes go to standard error. Exit codes: 0 done, 1 a check failed, 2 the input or the usage is wrong,
3 a needed package or program is missing, 130 interrupted.
"""


def markdown() -> str:
    """Return the page."""
    root: Any = typer.main.get_command(build_app())
    parts = [_HEAD, *_section("ultraface-deploy", root, 2)]
    return "\n".join(parts).rstrip() + "\n"


def _section(path: str, command: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {path}\n"
    if command.help:
        yield " ".join(command.help.split()) + "\n"
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    rows = [row for parameter in shown if (row := _row(parameter))]
    if rows:
        yield "| argument or option | value | default | |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"
    for name, child in getattr(command, "commands", {}).items():
        yield from _section(f"{path} {name}", child, min(level + 1, 4))


def _row(parameter: Any) -> str:
    argument = parameter.param_type_name == "argument"
    names = [] if argument else [*parameter.opts, *parameter.secondary_opts]
    metavar = parameter.metavar or parameter.name.upper()
    name = f"`{metavar}`" if argument else ", ".join(f"`{each}`" for each in names)
    flag = getattr(parameter, "is_flag", False)
    value = "" if argument or flag else f"`{metavar}`"
    cells = [name, value, _default(parameter, flag), " ".join((parameter.help or "").split())]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _default(parameter: Any, flag: bool) -> str:
    if parameter.required:
        return "required"
    if flag or parameter.default in (None, "", ()) or not parameter.show_default:
        return ""
    return f"`{parameter.default}`"


if __name__ == "__main__":
    PAGE.write_text(markdown())
