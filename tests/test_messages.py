"""Messages of the library speak of parameters: who reads them in Python has typed no option."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("ultraface_deploy", "converters", "backends", "models")
_OPTION = re.compile(r"(?:^|(?<=[\s(`'\"]))--?[a-z][\w-]*")
# A whole command to type next is no option of the one that was typed.
_COMMAND = re.compile(r"(ultraface-deploy|curl|pip install|apt-get|apt|git lfs pull|python3) .*")
# What is no message: a script for a shell, the name of a signal, a README of a generated project.
_NO_MESSAGES = {
    "ultraface_deploy/bench/remote.py": "exec python3 -c",
    "ultraface_deploy/bench/driver.py": "crashed with",
    "ultraface_deploy/detect/picamera.py": "--system-site-packages",
    "ultraface_deploy/sdk/project.py": " --model models",
}


def _sources() -> list[str]:
    files = (path for name in _PACKAGES for path in (_ROOT / name).rglob("*.py"))
    found = sorted(str(path.relative_to(_ROOT)) for path in files)
    return [name for name in found if not name.startswith("ultraface_deploy/cli/")]


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """The strings of a file that could be read by a person, with their lines; no docstrings."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    left_out = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in ast.walk(node) if part is not node}
    for node in nodes:
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))


def _options(source: str) -> list[str]:
    found = []
    for line, text in _texts(source):
        if " " in text and _OPTION.search(_COMMAND.sub("", text)):
            found.append(f"{line}: {text}")
    return found


@pytest.mark.parametrize("name", _sources())
def test_no_message_of_the_library_speaks_of_options(name: str) -> None:
    known = _NO_MESSAGES.get(name)
    found = _options((_ROOT / name).read_text(encoding="utf-8"))
    assert [each for each in found if known is None or known not in each] == []


@pytest.mark.parametrize(
    "statement",
    [
        'raise InputError("give --validation DIR")',
        'raise InputError(f"{path}: " "choose another folder with -o")',
        'report(f"--batch {text}: give 1")',
    ],
)
def test_such_a_message_would_be_seen(statement: str) -> None:
    assert _options(statement)


@pytest.mark.parametrize(
    "statement",
    [
        'raise InputError("give `validation`")',
        'raise InputError(f"make it with: ultraface-deploy convert {path} --to all")',
        'run(["ssh", "-o", "--"])',
    ],
)
def test_what_is_no_option_of_ours_may_stand(statement: str) -> None:
    assert not _options(statement)
