"""Every command that loads a model, every format: a real bomb ends in one line, and costs little.

`test_gate.py` shows that each way into a runtime leads through the gate; here the gate holds. The
formats are those of the registry: one that comes in without a bomb fails a test.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from platformdirs import user_cache_path

from tests.conftest import Convert, MakeCheckpoint
from tests.faults.bombs import BOMBS, ENDLESS, ONNX_BOMBS, make_bombs, with_ethosu
from tests.faults.watched import run_watched
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.cli.app import build_app
from ultraface_deploy.converters import format_names, get_format, target_names
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.sdk.project import RUNTIMES

pytestmark = pytest.mark.slow

# What is said to each command that takes a model; DIR is a folder full of bombs, ONNX one of them.
COMMANDS = (
    ["convert", "DIR", "--to", "onnxsim", "-o", "OUT"],
    ["convert", "DIR", "--to", "mnn", "--int8", "-o", "OUT"],
    ["convert", "ONNX", "--to", "mnn", "-o", "OUT"],
    ["verify", "DIR"],
    ["verify", "ONNX"],
    ["detect", str(DEMO_PHOTO), "--model", "DIR"],
    *(
        ["package", "DIR", "--runtime", name, "--precision", "fp32", "-o", "OUT"]
        for name in (*RUNTIMES, "web")
    ),
    ["bench", "run", "DIR"],
    ["bench", "run", "ONNX"],
    ["bench", "count", "cortex-a72", "DIR"],
    ["bench", "peers", "ONNX"],
    ["bench", "peers", "yunet=ONNX"],
    ["bench", "peers", "yunet-opencv=ONNX"],
    ["eval", "run", "DIR", "--folder", "PHOTOS", "--labels", "LABELS"],
    ["eval", "peers", "ONNX", "--data", "PHOTOS", "--ground-truth", "PHOTOS"],
    ["quantize", "calibrate", "DIR", "-o", "OUT.json"],
    ["quantize", "report", "DIR"],
    ["serve", "--model", "DIR", "--port", "0"],
)
# These load none of the user's, or only checkpoints, which `tests/family` and the fuzzer try.
WITHOUT_MODEL = {
    *(("doctor",), ("train",), ("data", "prepare")),
    *(("bench", "compare"), ("bench", "report"), ("bench", "recommend")),
    *(("eval", "compare"), ("eval", "table")),
    *(("bench", "table"), ("bench", "submit")),
    *(("tools", name) for name in ("list", "install", "remove")),
    *(("models", name) for name in ("list", "info", "pull", "scores", "match-scores")),
    *(("models", name) for name in ("compare", "average", "balance-scores")),
}


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not hasattr(command, "commands"):
        yield words
        return
    for name, inner in command.commands.items():
        yield from leaves(inner, (*words, name))


def test_every_command_is_tried_or_loads_no_model() -> None:
    there = set(leaves(typer.main.get_command(build_app())))
    tried = {each for each in there for said in COMMANDS if tuple(said[: len(each)]) == each}
    assert tried | WITHOUT_MODEL == there


@pytest.fixture(scope="module")
def sound(
    converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path_factory: pytest.TempPathFactory
) -> ArtifactFolder:
    pytest.importorskip("onnx", reason="makes the file")
    records = [record for record in map(get_format, target_names()) if record.missing() is None]
    made = [record.name for record in records if next(iter(record.precisions)) == "fp32"]
    # Every process of the tests has the converted folder; the copy is this one's.
    own = tmp_path_factory.mktemp("sound") / "folder"
    shutil.copytree(converted(make_checkpoint(), *made, size=(128, 96)).path, own)
    return with_ethosu(ArtifactFolder.open(own))


@pytest.fixture(scope="module")
def bombs(sound: ArtifactFolder, tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    return make_bombs(sound, tmp_path_factory.mktemp("bombs") / "folder")


def test_there_is_a_bomb_of_every_format() -> None:
    assert BOMBS.keys() == set(format_names())


@pytest.mark.parametrize("said", COMMANDS, ids=" ".join)
def test_no_command_takes_what_a_file_claims(
    bombs: ArtifactFolder, tmp_path: Path, said: list[str]
) -> None:
    if said[:2] == ["bench", "count"]:
        use_emulator(tmp_path / "run")
    (tmp_path / "photos").mkdir()
    shutil.copy(DEMO_PHOTO, tmp_path / "photos" / "a.jpg")
    (tmp_path / "labels.txt").write_text("a.jpg\n1\n170 60 100 110\n")
    words = {
        "DIR": bombs.path,
        "OUT": tmp_path / "out",
        "OUT.json": tmp_path / "out.json",
        "PHOTOS": tmp_path / "photos",
        "LABELS": tmp_path / "labels.txt",
        "ONNX": bombs.files(bombs.find("onnx"))[0],
    }
    line = [re.sub("ONNX$", str(words["ONNX"]), str(words.get(word, word))) for word in said]
    before = {path: path.stat().st_mtime_ns for path in bombs.path.iterdir()}
    ended = run_watched(line, tmp_path / "run")
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


@pytest.mark.parametrize("name", [name for name in backend_names() if name != "torch"])
def test_no_runtime_takes_what_a_folder_claims_here(
    bombs: ArtifactFolder, tmp_path: Path, name: str
) -> None:
    """Some take it when they load a file, others when they run it; nobody runs these in a child."""
    backend = get_backend(name)
    artifact = next((a for a in bombs.artifacts if backend.runs(a.format, a.precision)), None)
    if artifact is None or not backend.available():
        pytest.skip(f"nothing for {name} in the folder, or not installed")
    words = ["--backend", name, "--precision", artifact.precision]
    ended = run_watched(["detect", DEMO_PHOTO, "--model", bombs.path, *words], tmp_path / "run")
    assert ended.problem() is None
    assert ended.code == 2, ended.said


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


def use_emulator(scratch: Path) -> None:
    """Let `bench count` find the emulated machine, which comes after the gate."""
    there = user_cache_path("ultraface-deploy") / "arm"
    if not there.is_dir():
        pytest.skip("the emulator is not set up: ultraface-deploy bench count --setup")
    (scratch / "cache/ultraface-deploy").mkdir(parents=True)
    (scratch / "cache/ultraface-deploy/arm").symlink_to(there)


@pytest.mark.parametrize("kind", sorted(ONNX_BOMBS.keys() - ENDLESS))
def test_nothing_takes_what_an_operator_claims(
    sound: ArtifactFolder, tmp_path: Path, kind: str
) -> None:
    """`operators.py` tries all of them with more commands."""
    bomb = tmp_path / "a.onnx"
    shutil.copy(sound.files(sound.find("onnx"))[0], bomb)
    ONNX_BOMBS[kind]([bomb])
    ended = run_watched(["detect", DEMO_PHOTO, "--model", bomb], tmp_path / "run")
    assert ended.problem() is None


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
