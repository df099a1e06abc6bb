"""What is needed and not there is converted first, the default model in an empty folder too."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest

from tests.conftest import Cli, Convert, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts.ensure import ensure
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.plan import Step
from ultraface_deploy.detect.detector import open_detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import sha256_of
from ultraface_deploy.safe.images import DEMO_PHOTO


@pytest.fixture
def default_model(
    converted: Convert,
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """An empty working folder, and a small network that ships as the default model."""
    made = converted(make_checkpoint(), "onnx", size=(128, 96))
    shipped, work = tmp_path / "models", tmp_path / "work"
    shipped.mkdir()
    work.mkdir()
    name = models.DEFAULT_MODEL
    for format in ("torch", "onnx"):
        file = made.files(made.find(format))[0]
        shutil.copy(file, shipped / f"{name}{file.suffix}")
    record = {
        "name": name,
        "architecture": "slim",
        "width": 128,
        "height": 96,
        "sha256": sha256_of(shipped / f"{name}.pth"),
        "licence": "MIT",
        "description": "random weights",
        "file": f"{name}.pth",
        "onnx": f"{name}.onnx",
        "onnx_sha256": sha256_of(shipped / f"{name}.onnx"),
    }
    (shipped / "registry.json").write_text(json.dumps({"schema": 1, "models": [record]}))
    monkeypatch.setattr(models, "FOLDER", shipped)
    monkeypatch.chdir(work)
    models.registry.cache_clear()
    yield work
    models.registry.cache_clear()


def test_onnx_runtimes_need_no_conversion(default_model: Path) -> None:
    said: list[str] = []
    for backend in (None, "onnxruntime", "opencv", "torch"):
        with open_detector(backend=backend, report=said.append) as detector:
            assert detector.spec.input_shape == (1, 3, 96, 128)
            detector.detect(cv2.imread(str(DEMO_PHOTO)))
    assert said == []
    assert list(default_model.iterdir()) == []


def test_other_runtimes_are_converted_for(default_model: Path) -> None:
    said: list[str] = []
    with open_detector(backend="mnn", report=said.append) as detector:
        assert detector.backend.name == "mnn"
    assert "artifacts/slim-320 has no fp32 mnn yet: converting" in said[0]
    folder = ArtifactFolder.open(default_model / "artifacts/slim-320")
    assert folder.has("mnn")
    said.clear()
    open_detector(backend="mnn", report=said.append).close()
    assert said == []


def test_another_size_is_another_folder(default_model: Path) -> None:
    with open_detector(backend="onnxruntime", input_size=(64, 64)) as detector:
        assert detector.spec.input_shape == (1, 3, 64, 64)
    assert (default_model / "artifacts/slim-320-64x64/manifest.json").is_file()


def test_the_command_that_is_told_makes_the_same(default_model: Path, cli: Cli) -> None:
    said: list[str] = []
    open_detector(backend="mnn", input_size=(64, 64), report=said.append).close()
    made = Path("artifacts/slim-320-64x64").rename("by-detect")
    _, _, typed = said[0].partition("as does: ultraface-deploy ")
    done = cli(*shlex.split(typed), "--allow-no-faces")
    assert done.code == 0, done.err
    folder = ArtifactFolder.open("artifacts/slim-320-64x64")
    assert folder.spec == ArtifactFolder.open(made).spec and folder.has("mnn")


def test_bare_verify(default_model: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # As where these are not installed, which take most of the time.
    monkeypatch.setattr(
        "ultraface_deploy.converters.base.find_spec",
        lambda name: None if name in ("coremltools", "openvino") else find_spec(name),
    )
    # The small network has random weights, which find nobody.
    done = cli("verify", "--allow-no-faces")
    assert done.code == 0, done.err
    assert "converting slim-320 to all formats" in done.err
    folder = ArtifactFolder.open(default_model / "artifacts/slim-320")
    assert {artifact.format for artifact in folder.artifacts} >= {"onnx", "mnn", "ncnn", "caffe"}
    again = cli("verify", "--allow-no-faces", "--json", "-")
    assert json.loads(again.out)["passed"] is True


def test_bare_convert(default_model: Path, cli: Cli) -> None:
    done = cli("convert", "--to", "onnx", "--allow-no-faces")
    assert done.code == 0, done.err
    assert ArtifactFolder.open(default_model / "artifacts/slim-320").has("onnx")


def test_bare_detect(default_model: Path, cli: Cli) -> None:
    done = cli("detect", DEMO_PHOTO, "--backend", "ncnn", "--json", "-")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["results"]) == 1
    assert "converting" in done.err


def test_models_that_ship_are_listed(default_model: Path, cli: Cli) -> None:
    assert "ships" in cli("models", "list").out
    done = cli("models", "pull", "slim-320")
    assert done.code == 2
    assert "nothing to download" in done.error


def test_ensure_converts_what_is_missing(
    converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    made = converted(make_checkpoint("slim", 5), "onnx", size=(64, 64))
    copy = Path(shutil.copytree(made.path, tmp_path / "folder"))
    said: list[str] = []
    opened = ensure(copy, [Step("mnn", "fp16")], report=said.append)
    assert opened.has("mnn", "fp16")
    assert "has no fp16 mnn yet: converting" in said[0]
    said.clear()
    assert ensure(copy, [Step("mnn", "fp16")], report=said.append) == opened
    assert said == []


def test_ensure_wants_a_folder_with_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json is missing"):
        ensure(tmp_path, [])


def test_another_size_stands_beside_a_folder(
    converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    made = converted(make_checkpoint("slim", 5), "onnx", size=(64, 64))
    copy = Path(shutil.copytree(made.path, tmp_path / "folder"))
    beside = ensure(copy, [Step("onnx")], (96, 64))
    assert beside.path == tmp_path / "folder-96x64"
    assert (beside.spec.width, beside.spec.height) == (96, 64)
    assert ensure(copy, [Step("onnx")], (64, 64)).path == copy
