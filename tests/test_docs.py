"""The pages under docs/ name every command, option, public name and environment variable."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.conftest import ROOT
from tests.test_rooms import modules
from ultraface_deploy.cli.app import build_app

DOCS = ROOT / "docs"
PACKAGES = ("", ".accuracy", ".backends", ".bench", ".converters", ".pipeline", ".wider")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|RANK")
# Words in capitals that are not variables: part of an error of OpenCV, and of CMake.
NO_VARIABLES = {"MAX_IMAGE_PIXELS", "AND_MODELS", "RUNTIME_VERSION"}


def parameters(command: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each command with each of its arguments and options."""
    for parameter in command.params:
        yield path, command, parameter
    for name, child in getattr(command, "commands", {}).items():
        yield from parameters(child, f"{path} {name}".strip())


ROOT_COMMAND: Any = typer.main.get_command(build_app())


def test_commands_page_is_what_the_command_line_says() -> None:
    spec = importlib.util.spec_from_file_location("make_commands", DOCS / "make_commands.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text() == page.markdown(), "run: python docs/make_commands.py"


@pytest.mark.parametrize(
    ("path", "command", "parameter"),
    [
        pytest.param(*found, id=f"{found[0]} {found[2].name}".strip())
        for found in parameters(ROOT_COMMAND)
    ],
)
def test_every_command_and_option_has_a_help_text(path: str, command: Any, parameter: Any) -> None:
    assert command.help, path
    assert parameter.help, f"{path}: {parameter.name}"


def names() -> list[str]:
    """All public names, as `ultraface_deploy.pipeline.nms`."""
    packages = [f"ultraface_deploy{name}" for name in PACKAGES]
    return [f"{each}.{name}" for each in packages for name in import_module(each).__all__]


@pytest.mark.parametrize("name", [name for name in names() if not name.endswith("__")])
def test_every_public_name_is_in_the_api(name: str) -> None:
    page = (DOCS / "api.md").read_text()
    assert re.search(rf"^::: {re.escape(name)}$", page, re.M), f"add `::: {name}` to docs/api.md"


def variables() -> dict[str, Path]:
    """Environment variables by the names in those files that touch the environment."""
    files = [path for _, path in modules()] + sorted((ROOT / "tests").rglob("*.py"))
    found: dict[str, Path] = {}
    for path in files:
        text = path.read_text()
        if path != Path(__file__) and re.search(r"environ\b|getenv|setenv", text):
            strings = {
                node.value
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            found |= {name: path for name in strings if VARIABLE.fullmatch(name)}
    return {name: path for name, path in found.items() if name not in NO_VARIABLES}


def test_every_environment_variable_is_documented() -> None:
    page = (DOCS / "environment.md").read_text()
    used = variables()
    assert {"ULTRAFACE_DEPLOY_CACHE", "ULTRAFACE_DEPLOY_SSH", "RANK"} <= used.keys()
    missing = {name: str(path) for name, path in used.items() if f"`{name}`" not in page}
    assert not missing, "add them to docs/environment.md"
    ours = set(re.findall(r"`(ULTRAFACE_\w+)`", page))
    assert ours <= used.keys(), "documented, and used nowhere"
