"""Nothing that nobody has verified is loaded in the user's process: every command, every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from ultraface_deploy.artifacts import recognition
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.artifacts.verify import verify_folder
from ultraface_deploy.backends import Backend, backend_names, get_backend
from ultraface_deploy.converters.onnx.header import refuse_external_data
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.safe.files import sha256_of
from ultraface_deploy.safe.images import embedded_images

PHOTO = "ultraface_deploy/photos/astronaut.jpg"
COMMANDS = {
    "verify": ["verify", "DIR"],
    "convert": ["convert", "DIR", "--to", "onnxsim", "-o", "OUT"],
    "quantize": ["quantize", "report", "DIR"],
    "bench": ["bench", "run", "DIR"],
    "detect": ["detect", PHOTO, "--model", "DIR"],
}


def forget_verification(folder: ArtifactFolder) -> None:
    """Make a folder's manifest that of a stranger, without the checkpoint."""
    manifest = json.loads((folder.path / MANIFEST).read_text())
    kept = [each for each in manifest["artifacts"] if each["format"] != "torch"]
    manifest["artifacts"] = [each | {"verification": None} for each in kept]
    (folder.path / MANIFEST).write_text(json.dumps(manifest))


@pytest.fixture
def loaded_here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let no file pass the gate, and gather what is loaded in this process all the same."""
    loaded: list[Path] = []

    def refuse(runtime: Backend, record: Any, files: Sequence[Path], spec: Any) -> None:
        raise BackendError(f"{files[0]}: {runtime.name} cannot run it (stopped at the gate)")

    def load(self: Backend, files: Sequence[Path], *rest: Any, **options: Any) -> None:
        loaded.extend(files)
        raise BackendError(f"{files[0]}: loaded")

    monkeypatch.setattr(recognition, "prove_harmless", refuse)
    monkeypatch.setattr(Backend, "load", load)
    return loaded


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_stop_at_the_gate(
    folder: ArtifactFolder, tmp_path: Path, cli: Cli, loaded_here: list[Path], command: str
) -> None:
    forget_verification(folder)
    words = {"DIR": str(folder.path), "OUT": str(tmp_path / "out")}
    result = cli(*(words.get(word, word) for word in COMMANDS[command]))
    assert result.code == 2
    assert "stopped at the gate" in result.err
    assert not loaded_here


@pytest.mark.parametrize("name", backend_names())
def test_formats_stop_at_the_gate(
    folder: ArtifactFolder, loaded_here: list[Path], name: str
) -> None:
    from ultraface_deploy.accuracy.subject import find_subjects
    from ultraface_deploy.artifacts.choose import best, find_files

    backend = get_backend(name)
    if backend.runs_original or not backend.available() or not best(folder, backend, "fp32"):
        pytest.skip(f"nothing for {name} in the folder, or not installed")
    forget_verification(folder)
    stranger = ArtifactFolder.open(folder.path)
    ways: list[Callable[[], Any]] = [
        lambda: find_files(folder.path, name, "fp32", None, None),
        lambda: find_subjects(folder.path, [name]),
    ]
    artifact = best(stranger, backend, "fp32")
    assert artifact is not None
    ways.append(lambda: find_files(stranger.files(artifact)[0], name, "fp32", None, None))
    for way in ways:
        with pytest.raises(BackendError, match="stopped at the gate"):
            way()
    assert not loaded_here


@pytest.mark.parametrize("name", ["onnx", "onnxsim"])
def test_no_manifest_vouches_for_other_files(folder: ArtifactFolder, name: str) -> None:
    onnx = pytest.importorskip("onnx", reason="makes the file")
    artifact = folder.find(name)
    (path,) = folder.files(artifact)
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="w.data", size_threshold=0
    )
    manifest = (folder.path / MANIFEST).read_text()
    manifest = manifest.replace(artifact.sha256[path.name], sha256_of(path))
    (folder.path / MANIFEST).write_text(manifest)
    stated = ArtifactFolder.open(folder.path)
    assert stated.check_files(stated.find(name)) is None
    with pytest.raises(InputError, match="keeps its weights in other files"):
        recognition.sound_files(stated, stated.find(name), get_backend("onnxruntime"))
    reasons = {
        each.reason
        for each in verify_folder(stated, embedded_images())
        if each.artifact == artifact.id
    }
    assert len(reasons) == 1 and "keeps its weights in other files" in str(reasons)


def test_file_of_ten_million_nothings(tmp_path: Path) -> None:
    """As objects, 20 MB of empty initializers are 5 GB."""
    path = tmp_path / "empty.onnx"
    count = 10_000_000
    length = bytes((2 * count) >> shift & 0x7F | 0x80 for shift in (0, 7, 14)) + bytes(
        [(2 * count) >> 21]
    )
    path.write_bytes(b"\x3a" + length + b"\x2a\x00" * count)
    with pytest.raises(InputError, match="more than 300000 fields"):
        refuse_external_data(path)
