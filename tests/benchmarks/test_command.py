"""Each benchmark, given what is not there: one line and exit code 2 before anything is done."""

from __future__ import annotations

import ast
import errno
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT
from ultraface_deploy.benchmarks.command import command
from ultraface_deploy.errors import CheckFailed, MissingDependency
from ultraface_deploy.safe.images import PHOTOS

# By module the ways in which it is given files, MISSING in the place of one of them.
GIVEN = {
    "bindings": [
        "time MISSING",
        "compare MISSING . .",
        "compare . MISSING .",
        "compare . . . MISSING",
    ],
    "cores": [
        "MISSING --eval .",
        ". --eval MISSING",
        ". --eval . --count MISSING",
        ". --eval . --bench MISSING",
        ". --eval . --into MISSING",
    ],
    "cpp": [
        "time MISSING .",
        "time . MISSING",
        "time . . --models MISSING",
        "time . . --image MISSING",
        "count MISSING .",
        "count . MISSING",
        "count . . MISSING",
    ],
    "cycles": ["time MISSING"],
    "espdl": [
        "MISSING --python . --calibration . --images .",
        ". --python MISSING --calibration . --images .",
        ". --python . --calibration MISSING --images .",
        ". --python . --calibration . --images MISSING",
    ],
    "litert": ["MISSING"],
    "microcontrollers": ["MISSING"],
    "models": ["MISSING", ". MISSING"],
    "native": ["time MISSING"],
    "pipeline": ["MISSING", ". MISSING"],
    "reduced": ["MISSING .", ". MISSING", ". . --model MISSING"],
    "shards": ["--pictures 1 --model MISSING"],
    "targets": [
        "MISSING --verify .",
        ". --verify MISSING",
        ". --verify . --eval MISSING",
        ". --verify . --bench MISSING",
    ],
    "tflm": ["MISSING", ". MISSING"],
    "threads": ["MISSING", "slim-320 MISSING"],
    "throughput": ["--pictures 1 --model MISSING"],
    "tiles": ["MISSING", ". --model MISSING"],
    "trust": ["MISSING"],
    "web": ["MISSING .", ". MISSING"],
}
# A suite is chosen by name; the others are imported, or started by other programs.
WITHOUT = {"__init__", "command", "delayed_worker", "espdl_script", "llvm", "suites"}
WAYS = [(name, given) for name, ways in GIVEN.items() for given in ways]


def test_every_module_is_tried() -> None:
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} == WITHOUT | GIVEN.keys()


@pytest.mark.parametrize("name", sorted({*GIVEN, "suites"}))
def test_every_module_ends_through_it(name: str) -> None:
    last = ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text()).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    command(main)"


@pytest.mark.parametrize(("name", "given"), WAYS, ids=[" ".join(way) for way in WAYS])
def test_what_is_not_there(
    name: str,
    given: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = import_module(f"ultraface_deploy.benchmarks.{name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *given.replace("MISSING", "not/there").split()])
    with pytest.raises(SystemExit) as ended:
        command(module.main)
    out, said = capsys.readouterr()
    assert ended.value.code == 2
    assert "not/there" in said
    assert len(said.splitlines()) == 1
    assert not out
    assert not list(tmp_path.iterdir())


def test_a_folder_of_photographs_is_no_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module("ultraface_deploy.benchmarks.threads")
    monkeypatch.setattr(sys, "argv", ["threads", str(PHOTOS)])
    with pytest.raises(SystemExit) as ended:
        command(module.main)
    out, said = capsys.readouterr()
    assert ended.value.code == 2 and not out
    assert f"{PHOTOS}: no artifact folder (manifest.json is missing)" in said


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CheckFailed("\x1b[2Jface"), 1, "error: \\x1b[2Jface\n"),
        (MissingDependency("no node"), 3, "error: no node\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.json"), 2, "a.json: No such file"),
        (OSError("bad header"), 2, "input/output: bad header"),
    ],
)
def test_what_it_ends_with(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        command(main)
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def test_what_is_no_input_error_is_a_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(main)
