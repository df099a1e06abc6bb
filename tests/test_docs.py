"""The pages under docs/ name every command, option, public name and environment variable."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
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


def test_the_api_names_nothing_else() -> None:
    listed = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(), re.M)
    assert set(listed) <= set(names())
    assert len(listed) == len(set(listed))


def pages() -> list[Path]:
    """Every page of Markdown that people read."""
    return [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")] + sorted(
        [*DOCS.glob("*.md"), *(ROOT / "models").glob("*.md")]
    )


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_and_named_files_are_there(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    roots = ("ultraface_deploy", "backends", "converters", "models", "benchmarks", "tests", "docs")
    for name in re.findall(rf"`((?:{'|'.join(roots)})/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_commands_that_the_pages_show_exist() -> None:
    """Each `ultraface-deploy ...` line of a page: its command, and its options."""
    known = {path: (command, set()) for path, command, _ in parameters(ROOT_COMMAND)}
    for path, _, parameter in parameters(ROOT_COMMAND):
        known[path][1].update(parameter.opts, parameter.secondary_opts)
    for page in pages():
        for line in re.findall(r"^ {4}ultraface-deploy (.+)$", page.read_text(), re.M):
            words = line.split()
            path = words[0]
            assert path in known or path in ROOT_COMMAND.commands, f"{page.name}: {line}"
            children = getattr(ROOT_COMMAND.commands[path], "commands", {})
            if children:
                path = f"{path} {words[1] if words[1:] and words[1] in children else 'run'}"
            options = {word for word in words if re.fullmatch(r"--[a-z][\w-]*|-[a-z]", word)}
            assert options <= known[path][1] | {"--help"}, f"{page.name}: {line}"


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="builds the site")
    # Not --quiet, under which mkdocs counts no warnings and so builds what is not sound.
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api/index.html").read_text()
    assert 'id="ultraface_deploy.Detector"' in api
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r'(?:src|<link[^>]* href)="((?:https?:)?//[^"]*)"', page.read_text())
        assert not loaded, page


def variables() -> dict[str, Path]:
    """Environment variables by the names in those files that touch the environment."""
    files = [path for _, path in modules()] + sorted((ROOT / "tests").rglob("*.py"))
    found: dict[str, Path] = {}
    for path in files:
        text = path.read_text()
        if path != Path(__file__) and re.search(r"environ\b|getenv|setenv|envvar=", text):
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
