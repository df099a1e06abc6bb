"""What a MODEL argument means."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import owning_folder, parse_head, resolve_source, sized_name
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec


def test_checkpoint(make_checkpoint: MakeCheckpoint) -> None:
    source = resolve_source(make_checkpoint("rfb", 3))
    assert (source.format, source.spec.name) == ("torch", "random-rfb-3")
    assert (source.spec.architecture, source.spec.num_classes) == ("rfb", 3)


def test_two_sizes_are_two_models(make_checkpoint: MakeCheckpoint) -> None:
    spec = resolve_source(make_checkpoint(), (128, 96)).spec
    assert (spec.name, spec.width, spec.height) == ("random-slim-2-128x96", 128, 96)
    assert resolve_source(make_checkpoint(), (320, 240)).spec.name == "random-slim-2"
    assert resolve_source(make_checkpoint(), (128, 96), name="mine").spec.name == "mine"
    assert sized_name(ModelSpec("net", "slim"), None) == "net"


def test_head_is_raw_unless_asked(make_checkpoint: MakeCheckpoint) -> None:
    assert resolve_source(make_checkpoint()).spec.head == "raw"
    assert resolve_source(make_checkpoint(), head="decoded").spec.head == "decoded"
    assert parse_head("decoded") == "decoded"
    with pytest.raises(InputError, match="`head` boxes: unknown; choose from raw, decoded"):
        parse_head("boxes")


def test_folder_gives_its_checkpoint_or_its_onnx(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_source(folder.path).format == "torch"
    from importlib.util import find_spec

    monkeypatch.setattr(
        "ultraface_deploy.artifacts.source.find_spec",
        lambda name: None if name == "torch" else find_spec(name),
    )
    source = resolve_source(folder.path)
    assert (source.format, source.spec) == ("onnx", folder.spec)


def test_folder_without_a_network_to_start_from(folder: ArtifactFolder) -> None:
    from dataclasses import replace

    replace(folder, artifacts=(folder.find("mnn"),))._write()
    with pytest.raises(InputError, match=r"holds neither a checkpoint .* nor an ONNX file"):
        resolve_source(folder.path)


def test_changed_onnx_of_a_folder_is_refused(folder: ArtifactFolder) -> None:
    folder.files(folder.find("torch"))[0].write_bytes(b"changed")
    with pytest.raises(InputError, match="SHA-256 differs"):
        resolve_source(folder.path)


def test_what_cannot_be_converted_from(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"x")
    (tmp_path / "model").write_bytes(b"x")
    for name, reason in (
        ("net.tflite", r"cannot convert from \.tflite"),
        ("model", "unknown kind of model file; give a"),
        ("gone.tflite", "no such model"),
        ("gone.pth", "no such model"),
        ("gone.onnx", "no such model$"),
        ("nets.tflit", r"no such model; did you mean .*net\.tflite\?"),
        ("slim-320.pth", r"did you mean the model slim-320\?"),
        # As its makers call it, and as it is called in what was written about it.
        ("version-RFB-320.pth", r"did you mean the model published-rfb-320\?"),
    ):
        with pytest.raises(InputError, match=reason):
            resolve_source(tmp_path / name)


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        InputError, match=r"no model named 'slim-999'; choose from .*published-rfb-320"
    ):
        resolve_source("slim-999")


def test_model_that_was_not_pulled() -> None:
    with pytest.raises(InputError, match="models pull published-slim-320"):
        resolve_source("published-slim-320")


def test_pulled_model(own_cache: Path, checkpoints: Path) -> None:
    file = own_cache / "published-rfb-640.pth"
    file.write_bytes((checkpoints / "version-RFB-640.pth").read_bytes())
    source = resolve_source("published-rfb-640")
    assert (source.file, source.spec.name) == (file, "published-rfb-640")
    assert (source.spec.width, source.spec.architecture) == (640, "rfb")


def test_onnx_without_the_onnx_package(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ultraface_deploy.artifacts.source.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="'onnx': pip install"):
        resolve_source(folder.files(folder.find("onnx"))[0])


def test_owning_folder(folder: ArtifactFolder, tmp_path: Path) -> None:
    assert owning_folder(folder.path / folder.find("mnn").files[0]) == folder
    stranger = folder.path / "stranger.mnn"
    stranger.write_bytes(b"x")
    assert owning_folder(stranger) is None
    assert owning_folder(tmp_path / "elsewhere.mnn") is None


def test_a_file_goes_before_a_registry_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = next(iter(models.registry()))
    Path(name).mkdir()
    with pytest.raises(InputError, match="no artifact folder"):
        resolve_source(name)
