from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ultraface_deploy.artifacts.folder import ArtifactFolder, describe_files
from ultraface_deploy.bench.plan import configurations
from ultraface_deploy.errors import InputError


@pytest.fixture
def int8_ready(folder: ArtifactFolder) -> ArtifactFolder:
    """A folder with an entry for INT8 ONNX, its file a copy."""
    (onnx,) = folder.files(folder.find("onnx"))
    name = f"{folder.spec.name}.int8.onnx"
    with folder.scratch() as scratch:
        made = Path(shutil.copyfile(onnx, scratch / name))
        return folder.publish(describe_files("onnx", "int8", {name: made}), [made], {})


def test_every_combination(folder: ArtifactFolder) -> None:
    found = configurations([folder.path], ["mnn", "opencv"], threads=[1, 2])
    assert [(c.backend, c.artifact.id, c.threads) for c in found] == [
        ("mnn", "mnn", 1),
        ("mnn", "mnn", 2),
        ("opencv", "onnxsim", 1),
        ("opencv", "onnxsim", 2),
    ]


def test_two_folders_of_one_model_are_told_apart(folder: ArtifactFolder, tmp_path: Path) -> None:
    other = shutil.copytree(folder.path, tmp_path / "other")
    found = configurations([folder.path, other], ["mnn"])
    assert [c.model for c in found] == [
        f"{folder.spec.name} ({path})" for path in (folder.path, other)
    ]
    assert configurations([other], ["mnn"])[0].model == folder.spec.name


def test_all_means_what_is_there(folder: ArtifactFolder) -> None:
    notes: list[str] = []
    found = configurations([folder.path], None, precisions=None, note=notes.append)
    assert {c.backend for c in found} >= {"onnxruntime", "mnn", "ncnn", "opencv"}
    assert {c.artifact.precision for c in found} == {"fp32"}
    assert len(notes) == 1 and "has no fp16" in notes[0] and "--to all" in notes[0]


def test_what_a_simulator_alone_runs_is_not_timed(folder: ArtifactFolder) -> None:
    """LiteRT runs the network in integers of an Ethos-U, whose speed is another."""
    with folder.scratch() as scratch:
        made = scratch / "a.tflite"
        made.write_bytes(b"x")
        artifact = describe_files("ethosu", "int8", {made.name: made})
        verified = replace(artifact, verification={"passed": True})
        folder = folder.publish(verified, [made], {})
    notes: list[str] = []
    found = configurations([folder.path], None, precisions=None, note=notes.append)
    assert found and "ethosu" not in {c.artifact.format for c in found}
    assert "left out: ethosu-int8 is for another device, whose speed nothing here tells" in notes
    with pytest.raises(InputError, match="its milliseconds would mean nothing"):
        configurations([folder.path / "a.tflite"], None, precisions=None)


def test_what_is_named_and_missing_is_converted(folder: ArtifactFolder) -> None:
    notes: list[str] = []
    (found,) = configurations([folder.path], ["mnn"], ["fp16"], note=notes.append)
    assert found.artifact.id == "mnn-fp16"
    assert "has no fp16 mnn yet: converting" in notes[0]


def test_the_format_is_one_that_has_the_precision(int8_ready: ArtifactFolder) -> None:
    """The simplified ONNX that ONNX Runtime runs best in FP32 has no INT8; the plain one has."""
    (found,) = configurations([int8_ready.path], ["onnxruntime"], ["int8"])
    assert found.artifact.id == "onnx-int8"
    with pytest.raises(InputError, match="`backend` onnxruntime does not run w8"):
        configurations([int8_ready.path], ["onnxruntime"], ["w8"])


def test_other_input_sizes_are_converted_beside_the_folder(folder: ArtifactFolder) -> None:
    notes: list[str] = []
    sizes = [(128, 96), (96, 64)]
    found = configurations([folder.path], ["opencv"], input_sizes=sizes, note=notes.append)
    assert [(c.folder.spec.width, c.folder.spec.height) for c in found] == sizes
    assert found[1].folder.path.name == f"{folder.path.name}-96x64"
    assert any("converting" in note for note in notes)
    notes.clear()
    configurations([folder.path], ["opencv"], input_sizes=sizes, note=notes.append)
    assert notes == []


def test_without_a_folder_the_default_model_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes: list[str] = []
    (found,) = configurations(backends=["opencv"], note=notes.append)
    assert found.folder.path == Path("artifacts/slim-320")
    assert notes
