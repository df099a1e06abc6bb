"""Every module has a test file at the mirrored place, or says in one line where it is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_rooms import ROOMS, modules

# Rooms with a module that is still to say so; a finished one must leave this list.
UNFINISHED: set[str] = set()
_SAYS = re.compile(r"^# Tested by (tests/\S+\.py)\.$", re.MULTILINE)


def has_code(path: Path) -> bool:
    """Whether a file does more than gather names from others."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    defined = [node for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
    return any(node.name != "__getattr__" for node in defined)


def problem(name: str, path: Path) -> str | None:
    """Say what is wrong with how a module is tested."""
    *folders, last = name.split(".")
    mirrored = ROOT.joinpath("tests", *folders, f"test_{last}.py")
    said = _SAYS.findall(path.read_text())
    if mirrored.is_file():
        return f"{name} has {mirrored.relative_to(ROOT)} and names {said[0]}" if said else None
    if not said:
        return f"{name}: no {mirrored.relative_to(ROOT)}, and no line `# Tested by tests/...`"
    test = ROOT / said[0]
    if not (test.is_file() and test.name.startswith("test_") and "def test_" in test.read_text()):
        return f"{name}: {said[0]} is not a file with tests"
    return None


@pytest.mark.parametrize(
    "room",
    [
        pytest.param(room, marks=[pytest.mark.xfail(strict=True)] if room in UNFINISHED else [])
        for room in ROOMS
    ],
)
def test_every_module_says_where_it_is_tested(room: str) -> None:
    of_room = [(n, p) for n, p in modules() if n.split(".")[0] == room and has_code(p)]
    assert not [found for n, p in of_room if (found := problem(n, p))]


def test_the_check_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("def f(): ...")
    assert "no tests/nowhere/test_a.py" in (problem("nowhere.a", path) or "")
    path.write_text("# Tested by tests/nowhere.py.\ndef f(): ...")
    assert "is not a file with tests" in (problem("nowhere.a", path) or "")
    path.write_text("# Tested by tests/test_mirror.py.\ndef f(): ...")
    assert problem("nowhere.a", path) is None
