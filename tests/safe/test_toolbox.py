"""Makers' tools in environments of their own: found, made whole or not at all, removed."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.conftest import ROOT, Cli
from ultraface_deploy import doctor
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe import toolbox

HERE = "{}.{}".format(*sys.version_info)


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Tools go where the test looks, in a folder with a quote in its name."""
    folder = tmp_path / 'the "tools" of Kendryte\'s'
    monkeypatch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(folder))
    return folder


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> toolbox.Tool:
    """A tool that pip installs from a file."""
    wheel = tmp_path / "toy-1.2-py3-none-any.whl"
    about = "toy-1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("toy.py", "VALUE = 7\n")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.2\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    tool = toolbox.Tool("toy", "a toy", (str(wheel),), (HERE,), 1, 20)
    monkeypatch.setitem(toolbox.TOOLS, "toy", tool)
    return tool


def test_two_runs_that_install_take_turns(
    toy: toolbox.Tool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds what the first has made; what a killed one has left is gone."""
    (place / ".toy-killed" / "toy").mkdir(parents=True)
    honest, said = toolbox.run_program, Event()
    made: list[str] = []

    def program(command: Sequence[str], **options: Any) -> str:
        if "venv" in command:
            made.append(" ".join(command))
            # Until the other has come and waits.
            assert said.wait(60)
        return honest(command, **options)

    def report(message: str) -> None:
        if "another run" in message:
            said.set()

    monkeypatch.setattr(toolbox, "run_program", program)
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(toolbox.install, "toy", report) for _ in range(2))
        assert first.result() == second.result() == toolbox.require("toy")
    assert len(made) == 1
    assert {each.name for each in place.iterdir()} - {".toy.lock"} == {"toy"}


def test_what_is_half_removed_is_not_there(
    toy: toolbox.Tool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = toolbox.folder_of("toy") / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()

    def killed(*_: object, **__: object) -> None:
        assert toolbox.installed("toy") is None

    monkeypatch.setattr("shutil.rmtree", killed)
    assert toolbox.remove("toy")
    assert toolbox.installed("toy") is None


def test_install_list_remove(cli: Cli, toy: toolbox.Tool, place: Path) -> None:
    assert toolbox.installed("toy") is None
    done = cli("tools", "install", "toy")
    assert done.code == 0
    # What it downloads, how much, with which Python, and where it goes.
    for word in ("toy-1.2", "1 MB from PyPI", "20 MB in", "python", str(place)):
        assert word in done.err.replace("\n", ""), done.err
    python = toolbox.require("toy")
    assert (
        toolbox.run_program(
            [str(python), "-I", "-c", "import toy; print(toy.VALUE)"], what="toy", cwd=place
        ).strip()
        == "7"
    )
    assert [each.name for each in place.glob("[!.]*")] == ["toy"]
    assert "installed already" in cli("tools", "install", "toy").err
    row = next(each for each in doctor.examine()["tools"] if each["name"] == "toy")
    assert row["missing"] is None and row["reads"] == "a toy"
    listed = next(line for line in cli("tools", "list").out.splitlines() if "toy" in line)
    assert "1 MB" in listed and "20 MB" in listed
    assert cli("tools", "remove", "toy").code == 0
    assert toolbox.installed("toy") is None
    assert "not installed" in cli("tools", "remove", "toy").err


def test_what_cannot_be_removed_is_said(
    cli: Cli, toy: toolbox.Tool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "toy").mkdir(parents=True)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path / "bin"))

    with monkeypatch.context() as patch:
        patch.setattr(toolbox.shutil, "rmtree", refused)
        done = cli("tools", "remove", "toy")
    assert done.code == 2 and "removed:" not in done.err
    assert "toy: cannot be removed (" in done.err and "bin: Permission denied)" in done.err
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    (place / "toy").symlink_to(elsewhere)
    assert cli("tools", "remove", "toy").code == 0
    assert elsewhere.is_dir() and not (place / "toy").is_symlink()
    (place / "toy").write_text("a file")
    assert cli("tools", "remove", "toy").code == 0
    assert not (place / "toy").exists()


def test_what_pip_refuses_leaves_nothing(
    cli: Cli, toy: toolbox.Tool, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python whose environments hold half a package, and a pip that fails."""
    fake, its_own = tmp_path / f"python{HERE}", tmp_path / "its own"
    its_own.write_text("#!/bin/sh\necho ERROR: no room >&2\nexit 1\n")
    its_own.chmod(0o755)
    fake.write_text(
        f'#!/bin/sh\n[ "$2" = -c ] && exec echo {HERE}\n'
        f'mkdir -p "$3/bin" && cp "{its_own}" "$3/bin/python"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "pip failed with exit code 1: ERROR: no room" in cli("tools", "install", "toy").error
    assert {each.name for each in place.iterdir()} <= {".toy.lock"}


@pytest.mark.long
def test_what_pip_cannot_install_leaves_nothing(
    cli: Cli, toy: toolbox.Tool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = replace(toy, requirements=(str(place / "none.whl"),))
    monkeypatch.setitem(toolbox.TOOLS, "toy", missing)
    assert "pip failed with exit code 1: ERROR:" in cli("tools", "install", "toy").error
    assert {each.name for each in place.iterdir()} <= {".toy.lock"}


def test_no_python_for_it(
    cli: Cli, toy: toolbox.Tool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(toolbox.TOOLS, "toy", replace(toy, pythons=("3.1",)))
    done = cli("tools", "install", "toy")
    assert done.code == 3
    assert "needs Python 3.1" in done.error and "pyenv install 3.1" in done.error
    assert not place.exists()


def test_a_python_is_asked_what_it_is(
    toy: toolbox.Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyenv puts programs on the PATH that fail, or are another version."""
    for text in ("exit 1", "echo 2.7"):
        fake = tmp_path / f"python{HERE}"
        fake.write_text(f"#!/bin/sh\n{text}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(MissingDependency, match="none"):
            toolbox.find_python(toy)


@pytest.mark.parametrize("action", ["install", "remove"])
@pytest.mark.parametrize("name", ["k240", 'a "b"', "../k210"])
def test_unknown_tools(cli: Cli, action: str, name: str) -> None:
    done = cli("tools", action, name)
    assert done.code == 2
    assert "choose from k210" in done.error


@pytest.mark.parametrize("name", toolbox.ABSENT)
def test_what_is_not_to_be_had_says_why(cli: Cli, name: str, tmp_path: Path) -> None:
    for command in (("tools", "install", name), ("convert", "--to", name, "-o", tmp_path / "x")):
        done = cli(*command)
        assert done.code == 2
        assert "not offered" in done.error and "it reads" in done.error
    assert not (tmp_path / "x").exists()
    page = (ROOT / "docs" / "targets.md").read_text().lower()
    assert {"edgetpu": "edge tpu"}.get(name, name) in page


def test_what_is_missing_names_the_command() -> None:
    with pytest.raises(MissingDependency, match="ultraface-deploy tools install k210"):
        toolbox.require("k210")
    with pytest.raises(InputError):
        toolbox.folder_of("../elsewhere")
    rows = {row["name"]: row for row in doctor.examine()["tools"]}
    assert rows["k210"]["missing"] == "ultraface-deploy tools install k210"
