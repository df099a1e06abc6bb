"""The small install of docs/board.md: without OpenCV and ONNX Runtime the same faces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli, Convert
from tests.test_without_torch import HIDE_TORCH
from ultraface_deploy import models
from ultraface_deploy.safe.images import PHOTOS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("ncnn", reason="the runtime of the board")
pytest.importorskip("simplejpeg", reason="what the board reads pictures with")
GONE = ("cv2", "onnxruntime", "torch", "onnx", "onnxsim", "MNN", "ai_edge_litert", "PIL")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs the command line without what the board does not install."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HIDE_TORCH.replace('== "torch"', f"in {GONE}"))
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}

    def start(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ultraface_deploy", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return start


@pytest.fixture
def board(converted: Convert) -> Path:
    return converted(models.FOLDER / "slim-320.pth", "ncnn").path


def test_the_same_faces(
    cli: Cli, run: Run, board: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pictures: list[object] = sorted(PHOTOS.glob("*.jpg"))
    if (ROOT.parent / "shared").is_dir():
        pictures.append(request.getfixturevalue("photos")[0].parent)
    rest = ("--model", board, "--backend", "ncnn", "--json")
    done = run("detect", *pictures, *rest, "small.json", "-o", "marked")
    assert done.returncode == 0, done.stderr
    assert cli("detect", *pictures, *rest, tmp_path / "full.json").code == 0
    found, expected = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("small", "full"))
    assert sum(len(each["faces"]) for each in expected["results"]) >= 2
    assert found == expected
    assert len(list((tmp_path / "marked").iterdir())) == len(expected["results"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("clip.mp4",), "without OpenCV, which VideoCapture"),
        (("a.png",), "a.png: reading it needs OpenCV"),
        ((PHOTOS / "astronaut.jpg", "--blur", "-o", "a.jpg"), "without OpenCV"),
        ((PHOTOS / "astronaut.jpg", "-o", "a.png"), ".png cannot be written here"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_what_it_cannot_do_is_said_in_one_line(
    run: Run, board: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run("detect", *arguments, "--model", board, "--backend", "ncnn")
    assert done.returncode in (2, 3), done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr


def test_what_it_installs_is_the_base_with_another_reader_of_pictures() -> None:
    lines = (ROOT / "board.txt").read_text().splitlines()
    stated = {line for line in lines if line and not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    without = {n for n in project["dependencies"] if not n.startswith(("opencv", "onnxruntime"))}
    assert stated == without | set(project["optional-dependencies"]["jpeg"])
