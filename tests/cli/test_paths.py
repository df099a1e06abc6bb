"""Every option that names a file or a folder is looked at before anything is begun."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from tests.conftest import Cli
from ultraface_deploy.artifacts import convert as conversion
from ultraface_deploy.artifacts import ensure
from ultraface_deploy.cli.app import build_app
from ultraface_deploy.cli.paths import (
    CHECKS,
    check_of,
    input_path,
    name_of,
    output_file,
    output_path,
)
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import DEMO_PHOTO

Words = tuple[str, ...]
# What else a command cannot do without; {photo} is there, as are {folder} and {file}.
REQUIRED: dict[Words, tuple[str, ...]] = {
    ("detect",): ("{photo}",),
    ("package",): ("-o", "{folder}/new"),
    ("train",): ("--data", "{folder}", "-o", "{folder}/new"),
    ("eval", "run"): ("--data", "{folder}", "--ground-truth", "{folder}"),
    ("data", "prepare"): ("{file}", "-o", "{folder}/new"),
    ("bench", "count"): ("cortex-a72",),
    ("bench", "compare"): ("{file}", "{file}"),
    ("bench", "report"): ("{file}", "-o", "{folder}/new.html"),
    ("bench", "recommend"): ("{file}",),
    ("eval", "compare"): ("{file}", "{file}"),
    ("eval", "table"): ("{file}",),
    ("models", "info"): ("slim-320",),
    ("models", "scores"): ("{file}", "--data", "{folder}"),
    ("models", "balance-scores"): ("{file}", "--data", "{folder}", "-o", "{folder}/new"),
    ("models", "match-scores"): (
        *("{file}", "--like", "{file}", "--data", "{folder}", "-o", "{folder}/new"),
    ),
    ("eval", "peers"): ("slim-320",),
    ("bench", "peers"): ("slim-320",),
}
# A model: a file, a folder or a name; `artifacts` finds out which.
MODELS = {"model", "folder", "folders"}


def commands(command: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield words, command
    for name, child in children.items():
        yield from commands(child, (*words, name))


def names_a_file(command: Any, parameter: Any) -> bool:
    function = inspect.unwrap(command.callback)
    hint = str(get_type_hints(function)[parameter.name])
    return "Path" in hint or any(word in (parameter.metavar or "") for word in ("FILE", "DIR"))


FOUND = [
    (words, parameter)
    for words, command in commands(typer.main.get_command(build_app()))
    for parameter in command.params
    if parameter.name != "help" and names_a_file(command, parameter)
]


def title(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else max(value.opts, key=len)


def in_place(given: list[str], words: Words, parameter: Any, wrong: str) -> list[str]:
    """Put an argument where `file` stands for it, or else last."""
    its = [p for w, p in FOUND if w == words and p.param_type_name == "argument"]
    places = [index for index, each in enumerate(given) if each == "file"]
    if not places:
        return [*given, wrong]
    place = places[its.index(parameter)]
    return [*given[:place], wrong, *given[place + 1 :]]


@pytest.fixture
def nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take conversions and torch away: whoever wants them fails otherwise than by exit code 2."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a conversion was begun")

    monkeypatch.setattr(conversion, "convert", refuse)
    monkeypatch.setattr(ensure, "convert", refuse)
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize(("words", "parameter"), FOUND, ids=title)
def test_a_wrong_path_costs_nothing(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nothing_begins: None,
    words: Words,
    parameter: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    # Nothing can be read from there, nothing be written to it.
    wrong = "file/below/it"
    given = [
        each.format(photo=DEMO_PHOTO, folder="folder", file="file")
        for each in REQUIRED.get(words, ())
    ]
    if parameter.param_type_name == "argument":
        arguments = in_place(given, words, parameter, wrong)
    else:
        arguments = [*given, max(parameter.opts, key=len), wrong]
    result = cli(*words, *arguments)
    assert result.code == 2, result.err
    assert wrong in result.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_every_such_option_has_a_check() -> None:
    assert len(FOUND) > 40
    without = [
        f"{title(words)} {title(parameter)}"
        for words, parameter in FOUND
        if check_of(words, parameter) is None and parameter.name not in MODELS
    ]
    assert without == []


def test_every_check_belongs_to_an_option() -> None:
    spelled = {
        spelling
        for words, parameter in FOUND
        for name in (*parameter.opts, parameter.metavar or parameter.name.upper())
        for spelling in (name, " ".join((*words, name)))
    }
    assert CHECKS.keys() - spelled == set()


def test_a_folder_of_unwritable_things(tmp_path: Path) -> None:
    output_path("-o", tmp_path / "a" / "b" / "c.jpg")
    input_path("--labels", tmp_path)


def test_an_argument_needs_no_name() -> None:
    parameter = next(p for words, p in FOUND if words == ("bench", "compare"))
    assert name_of(parameter) == ""


@pytest.mark.parametrize("stream", ["/dev/stdout", "/dev/stderr", "/dev/fd/1"])
def test_link_to_our_own_output_is_refused(stream: str) -> None:
    """Redirected to a file it is one, and the file written would take the link's place."""
    with pytest.raises(InputError, match="give - for standard output"):
        output_file("--json", Path(stream))
    output_file("--json", Path("/dev/null"))


@pytest.mark.parametrize("option", ["--json", "--csv", "--count", "--jsonl"])
def test_a_picture_is_not_replaced_by_text(cli: Cli, tmp_path: Path, option: str) -> None:
    """Whoever forgets the name of the file names the picture."""
    picture = tmp_path / "a.JPG"
    picture.write_bytes(DEMO_PHOTO.read_bytes())
    result = cli("detect", option, str(picture))
    assert result.code == 2
    assert "would be replaced" in result.error
    assert picture.read_bytes() == DEMO_PHOTO.read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        ("bench", "report", "a.json", "-o", "a.json"),
        ("bench", "report", "-o", "./a.json", "a.json"),
        ("bench", "compare", "a.json", "a.json", "--json", "linked"),
        ("eval", "compare", "a.json", "b.json", "--json", "b.json"),
    ],
)
def test_what_is_read_is_not_replaced(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Words
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "linked").symlink_to("a.json")
    result = cli(*line)
    assert result.code == 2
    assert "would be replaced and" in result.error
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text() == "{}"
