"""The order of the rooms: data runs one way, and so do the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the ground up: a room imports from itself and from those before it, also inside functions.
ROOMS = (
    "errors",
    "safe",
    "pages",
    "models",
    "family",
    "pipeline",
    "wider",
    "agreement",
    "backends",
    "quantize",
    "converters",
    "artifacts",
    "detect",
    "train",
    "accuracy",
    "integrations",
    "bench",
    "serve",
    "sdk",
    "doctor",
    "cli",
    "benchmarks",
)
PLACES = {name: ROOT / name for name in ("backends", "converters", "models", "benchmarks")}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield each module's dotted name below the package, and its file."""
    main = ROOT / "ultraface_deploy"
    # What `package` writes for users of other languages is no part of this package.
    bindings = main / "sdk" / "bindings"
    for path in sorted(main.rglob("*.py")):
        if "__main__" not in path.name and bindings not in path.parents:
            yield ".".join(path.relative_to(main).with_suffix("").parts), path
    for name, folder in PLACES.items():
        for path in sorted(folder.rglob("*.py")):
            yield ".".join((name, *path.relative_to(folder).with_suffix("").parts)), path


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the modules of this package that a file imports, and in which lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("ultraface_deploy."):
                yield name.removeprefix("ultraface_deploy."), node.lineno


def test_every_module_stands_in_a_room() -> None:
    assert {name.split(".")[0] for name, _ in modules()} == {*ROOMS, "__init__"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_those_below(room: str) -> None:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    up = [
        f"{name}:{line} imports {target}"
        for name, path in modules()
        if name.split(".")[0] == room
        for target, line in imported(path)
        if target.split(".")[0] in ROOMS and target.split(".")[0] not in allowed
    ]
    assert not up, "\n".join(up)
