"""Every command that loads a model, every format: a real bomb ends in one line, and costs little.

`test_gate.py` shows that each way into a runtime leads through the gate; here the gate holds. The
formats are those of the registry: one that comes in is tried as soon as `--to all` makes it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.conftest import Convert, MakeCheckpoint
from tests.faults.bombs import BOMBS, make_bombs, run_watched
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.cli.app import build_app
from ultraface_deploy.converters import format_names, get_format, target_names
from ultraface_deploy.safe.images import DEMO_PHOTO

pytestmark = pytest.mark.slow

# What is said to each command that takes a model; DIR is a folder full of bombs.
COMMANDS: dict[tuple[str, ...], list[str]] = {
    ("convert",): ["convert", "DIR", "--to", "onnxsim", "-o", "OUT"],
    ("verify",): ["verify", "DIR"],
    ("detect",): ["detect", str(DEMO_PHOTO), "--model", "DIR"],
    ("package",): ["package", "DIR", "--runtime", "mnn", "-o", "OUT"],
    ("bench", "run"): ["bench", "run", "DIR"],
    ("bench", "peers"): [],
    ("bench", "count"): [],
    ("eval", "run"): ["eval", "run", "DIR", "--folder", "PHOTOS", "--labels", "LABELS"],
    ("eval", "peers"): [],
    ("quantize", "calibrate"): ["quantize", "calibrate", "DIR", "-o", "OUT.json"],
    ("quantize", "report"): ["quantize", "report", "DIR"],
}
# These load none of the user's, or only checkpoints, which `tests/family` and the fuzzer try.
WITHOUT_MODEL = {
    *(("doctor",), ("train",), ("data", "prepare")),
    *(("bench", "compare"), ("bench", "report"), ("bench", "recommend")),
    *(("eval", "compare"), ("eval", "table")),
    *(("bench", "table"), ("bench", "submit")),
    *(("models", name) for name in ("list", "info", "pull", "scores", "match-scores")),
}


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not hasattr(command, "commands"):
        yield words
        return
    for name, inner in command.commands.items():
        yield from leaves(inner, (*words, name))


def test_every_command_is_tried_or_loads_no_model() -> None:
    assert set(leaves(typer.main.get_command(build_app()))) == COMMANDS.keys() | WITHOUT_MODEL


@pytest.fixture(scope="module")
def sound(converted: Convert, make_checkpoint: MakeCheckpoint) -> ArtifactFolder:
    pytest.importorskip("onnx", reason="makes the file")
    made = [name for name in target_names() if get_format(name).in_all]
    installed = [name for name in made if get_format(name).missing() is None]
    return converted(make_checkpoint(), *installed, size=(128, 96))


@pytest.fixture(scope="module")
def bombs(sound: ArtifactFolder, tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    return make_bombs(sound, tmp_path_factory.mktemp("bombs") / "folder")


def test_bombs_are_made_of_formats_that_there_are() -> None:
    assert BOMBS.keys() <= set(format_names())


@pytest.mark.parametrize("command", [words for words, said in COMMANDS.items() if said])
def test_no_command_takes_what_a_file_claims(
    bombs: ArtifactFolder, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(DEMO_PHOTO, tmp_path / "photos" / "a.jpg")
    (tmp_path / "labels.txt").write_text("a.jpg\n1\n170 60 100 110\n")
    words = {
        "DIR": bombs.path,
        "OUT": tmp_path / "out",
        "OUT.json": tmp_path / "out.json",
        "PHOTOS": tmp_path / "photos",
        "LABELS": tmp_path / "labels.txt",
    }
    before = {path: path.stat().st_mtime_ns for path in bombs.path.iterdir()}
    ended = run_watched([words.get(word, word) for word in COMMANDS[command]], tmp_path / "run")
    assert ended.problem() is None
    assert ended.code != 0, ended.said
    after = {path: path.stat().st_mtime_ns for path in bombs.path.iterdir()}
    assert {path: when for path, when in after.items() if path.name != ".lock"} == {
        path: when for path, when in before.items() if path.name != ".lock"
    }


def test_no_runtime_takes_what_a_folder_claims(sound: ArtifactFolder, tmp_path: Path) -> None:
    """What the others are compared with is sound, so that all of them are tried."""
    from ultraface_deploy.artifacts.choose import runtimes_of

    folder = make_bombs(sound, tmp_path / "folder", sound="onnx")
    told = tmp_path / "told.json"
    ended = run_watched(["verify", folder.path, "--json", told], tmp_path / "run")
    assert ended.problem() is None
    assert ended.code == 1
    results = json.loads(told.read_text())["results"]
    assert {(each["artifact"], each["backend"]) for each in results} == {
        (artifact.id, runtime.name)
        for artifact in folder.artifacts
        if artifact.format != "onnx"
        for runtime in runtimes_of(artifact.format, artifact.precision)
        if runtime.available()
    }
    assert not [each for each in results if each["passed"]]


@pytest.mark.parametrize("name", backend_names())
def test_no_runtime_takes_what_a_single_file_claims(
    bombs: ArtifactFolder, tmp_path: Path, name: str
) -> None:
    backend = get_backend(name)
    artifact = next((a for a in bombs.artifacts if backend.runs(a.format, a.precision)), None)
    if artifact is None or not backend.available():
        pytest.skip(f"nothing for {name} in the folder, or not installed")
    # Away from the manifest: the file of a stranger.
    for file in bombs.files(artifact):
        shutil.copy(file, tmp_path / file.name)
    file = tmp_path / artifact.files[0]
    size = ["--input-size", "128x96"]
    words = ["detect", DEMO_PHOTO, "--model", file, "--backend", name]
    ended = run_watched([*words, *size], tmp_path / "run")
    if "leave out --input-size" in ended.said:
        ended = run_watched(words, tmp_path / "again")
    assert ended.problem() is None
    assert ended.code == 2, ended.said
    assert "--input-size" not in ended.said


@pytest.mark.parametrize("command", ["convert", "detect"])
def test_no_command_takes_what_a_checkpoint_claims(tmp_path: Path, command: str) -> None:
    pytest.importorskip("torch", reason="reads checkpoints")
    bomb = tmp_path / "a.pth"
    BOMBS["torch"]([bomb])
    words: dict[str, list[object]] = {
        "convert": ["convert", bomb, "-o", tmp_path / "out"],
        "detect": ["detect", DEMO_PHOTO, "--model", bomb, "--backend", "torch"],
    }
    ended = run_watched(words[command], tmp_path / "run")
    assert ended.problem() is None
    assert ended.code == 2 and "more than tensors" in ended.said
