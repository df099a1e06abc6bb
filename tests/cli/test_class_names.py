"""Class names from the command that gives them to everything that tells the classes apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import Cli, MakeCheckpoint
from ultraface_deploy import Detector
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.pipeline import PostprocessOptions
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image


@pytest.fixture
def named(cli: Cli, make_checkpoint: MakeCheckpoint, tmp_path: Path) -> Path:
    done = cli(
        *("convert", make_checkpoint("slim", 3), "--to", "onnx", "--input-size", "64x64"),
        *("--class-names", "face, mask", "-o", tmp_path / "named", "--allow-no-faces"),
    )
    assert done.code == 0, done.err
    return tmp_path / "named"


def test_they_travel(cli: Cli, named: Path, tmp_path: Path) -> None:
    folder = ArtifactFolder.open(named)
    assert folder.spec.class_names == ("face", "mask")
    # The single file states them too.
    assert resolve_source(folder.path / "random-slim-3-64x64.onnx").spec == folder.spec
    found = cli(
        *("detect", DEMO_PHOTO, "--model", named, "--threshold", "0.01"),
        *("--json", tmp_path / "f.json", "--csv", tmp_path / "f.csv", "-o", tmp_path / "f.png"),
    )
    assert found.code == 0, found.err
    faces = json.loads((tmp_path / "f.json").read_text())["results"][0]["faces"]
    assert {(face["label"], face["name"]) for face in faces} == {(1, "face"), (2, "mask")}
    rows = list(csv.DictReader((tmp_path / "f.csv").open()))
    assert [row["name"] for row in rows] == [face["name"] for face in faces]
    assert (tmp_path / "f.png").is_file()


def test_python_reads_them(named: Path) -> None:
    with Detector.open(named, options=PostprocessOptions(0.01)) as detector:
        faces = detector.detect(read_image(DEMO_PHOTO))
    assert set(faces.names) == {"face", "mask"}
    assert faces[0].to_dict()["name"] == faces[:1].names[0] == faces[0].name


def test_a_checkpoint_states_them(named: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    checkpoint = load_checkpoint(next(named.glob("*.pth")), size_known=True)
    stated = replace(checkpoint, spec=replace(checkpoint.spec, class_names=("a", "b")))
    for name in ("own.pth", "own.safetensors"):
        stated.save(tmp_path / name)
        assert load_checkpoint(tmp_path / name).spec.class_names == ("a", "b")


@pytest.mark.parametrize("names", ["face", "face,mask,hat", "face,face", "face,", "=1,x", "a,\x1b"])
def test_names_that_tell_no_classes_apart(
    cli: Cli, make_checkpoint: MakeCheckpoint, tmp_path: Path, names: str
) -> None:
    done = cli(
        *("convert", make_checkpoint("slim", 3), "--to", "onnx", "--class-names", names),
        *("--input-size", "64x64", "-o", tmp_path / "out"),
    )
    assert done.code == 2
    assert done.error.startswith("--class-names ")
    assert not (tmp_path / "out").exists()


def test_eval_says_what_each_class_reaches(cli: Cli, named: Path, tmp_path: Path) -> None:
    labels = {
        "images": [{"id": 1, "file_name": DEMO_PHOTO.name}],
        "annotations": [{"image_id": 1, "category_id": 2, "bbox": [10, 20, 100, 120]}],
        "categories": [{"id": 1, "name": "Face"}, {"id": 2, "name": "Mask"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    done = cli(
        *("eval", named, "--backend", "onnxruntime", "--folder", DEMO_PHOTO.parent),
        *("--labels", tmp_path / "labels.json", "--class", "face=1,mask=2", "--jobs", "1"),
        *("--json", tmp_path / "eval.json"),
    )
    assert done.code == 0, done.err
    (result,) = json.loads((tmp_path / "eval.json").read_text())["results"]
    named_faces = [(each["label"], each["name"], each["faces"]) for each in result["classes"]]
    assert named_faces == [(1, "face", 0), (2, "mask", 1)]
    assert "AP by class" in done.out and "mask" in done.out
