"""A board has no torch: converting from ONNX, verifying and detecting must work there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Convert, MakeCheckpoint
from ultraface_deploy.safe.images import DEMO_PHOTO

# Not an import that fails but a package that is not there, as `find_spec` must see it too.
HIDE_TORCH = """
from importlib.machinery import PathFinder
original = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == "torch" else original(name, path, target)
PathFinder.find_spec = find_spec
"""


class Board:
    """A working folder where torch is not installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(HIDE_TORCH)
        self.environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ultraface_deploy", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return Board(tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="module")
def artifacts(board: Board, converted: Convert, make_checkpoint: MakeCheckpoint) -> Path:
    made = converted(make_checkpoint("rfb"), "onnx", size=(128, 96))
    source = made.files(made.find("onnx"))[0]
    done = board.run(
        *("convert", source, "--to", "mnn", "--to", "ncnn", "--input-size", "160x120", "-o", "out"),
    )
    assert done.returncode == 0, done.stderr
    return board.folder / "out"


def test_torch_is_hidden(board: Board) -> None:
    script = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('numpy').name)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=board.environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["None", "numpy"]


def test_convert(artifacts: Path) -> None:
    manifest = json.loads((artifacts / "manifest.json").read_text())
    assert {record["id"] for record in manifest["artifacts"]} == {"onnx", "onnxsim", "mnn", "ncnn"}
    assert (manifest["model"]["input"]["width"], manifest["model"]["architecture"]) == (160, "rfb")
    for record in manifest["artifacts"]:
        assert record["verification"]["passed"]
        assert record["verification"]["reference"] == "onnx"


def test_verify(board: Board, artifacts: Path) -> None:
    done = board.run("verify", artifacts, "--json", "-")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert {row["artifact"] for row in results} == {"onnxsim", "mnn", "ncnn"}


def test_detect(board: Board, artifacts: Path) -> None:
    for backend in ("mnn", "ncnn"):
        done = board.run(
            *("detect", DEMO_PHOTO, "--model", artifacts, "--backend", backend, "--json", "-")
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["results"]) == 1


def test_what_needs_torch_says_so(board: Board, make_checkpoint: MakeCheckpoint) -> None:
    done = board.run("convert", make_checkpoint(), "--to", "onnx", "-o", "never")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "pip install 'ultraface-deploy[convert]'" in done.stderr
    assert not (board.folder / "never").exists()


def test_doctor_misses_it(board: Board) -> None:
    report = json.loads(board.run("doctor", "--json", "-").stdout)
    torch = next(row for row in report["backends"] if row["name"] == "torch")
    assert "pip install" in torch["missing"]
