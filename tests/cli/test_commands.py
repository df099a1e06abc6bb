"""Each command's way when all is well."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.accuracy.made import result, written
from tests.artifacts.test_verify import flip_bytes
from tests.bench.made import measurement, report
from tests.conftest import Cli, MakeCheckpoint
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.safe.images import DEMO_PHOTO, PHOTOS


def test_convert_verify_detect(cli: Cli, make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cli(
        *("convert", make_checkpoint(), "--to", "mnn", "--input-size", "64x64", "--fp16"),
        *("--name", "mine", "-o", out, "--allow-no-faces"),
    )
    assert done.code == 0, done.err
    assert done.out == ""
    assert "mine.fp16.mnn" in done.err
    assert f"done: {out}" in done.err
    folder = ArtifactFolder.open(out)
    assert {a.id for a in folder.artifacts} == {"torch", "onnx", "onnxsim", "mnn-fp16"}
    verified = cli(
        "verify", out, "--allow-no-faces", "--images", PHOTOS, "--json", tmp_path / "v.json"
    )
    assert verified.code == 0, verified.err
    assert "mnn-fp16" in verified.out
    document = json.loads((tmp_path / "v.json").read_text())
    assert document["schema"] == 1
    assert document["results"][0].keys() >= {
        *("artifact", "backend", "passed", "max_abs_scores", "max_abs_boxes", "cosine", "recall"),
        *("precision", "mean_iou", "detections", "reference_detections", "images", "reason"),
    }
    found = cli(
        *("detect", DEMO_PHOTO, "--model", out, "--backend", "mnn", "--precision", "fp16"),
        *("--threshold", "0.99", "-o", tmp_path / "marked.png"),
    )
    assert found.code == 0, found.err
    assert "astronaut.jpg: " in found.out
    assert cv2.imread(str(tmp_path / "marked.png")) is not None


def test_decoded_head(cli: Cli, make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    done = cli(
        *("convert", make_checkpoint("rfb", 3), "--to", "onnx", "--head", "decoded"),
        *("--input-size", "64x64", "-o", tmp_path / "out", "--allow-no-faces"),
    )
    assert done.code == 0, done.err
    spec = ArtifactFolder.open(tmp_path / "out").spec
    assert (spec.head, spec.num_classes, spec.architecture) == ("decoded", 3, "rfb")


def test_verify_names_the_damaged_artifact(cli: Cli, folder: ArtifactFolder) -> None:
    flip_bytes(folder.files(folder.find("ncnn"))[-1])
    done = cli("verify", folder.path, "--allow-no-faces")
    assert done.code == 1
    assert "ncnn on ncnn" in done.error
    assert "SHA-256 differs" in done.error
    assert "convert" in done.error
    assert "mnn on mnn" not in done.error
    failed = cli("verify", folder.path, "--allow-no-faces", "--json", "-")
    assert failed.code == 1
    results = json.loads(failed.out)["results"]
    assert [r["artifact"] for r in results if not r["passed"]] == ["ncnn"]


def test_verify_one_backend(cli: Cli, folder: ArtifactFolder) -> None:
    done = cli("verify", folder.path, "--backend", "mnn", "--json", "-")
    assert [r["backend"] for r in json.loads(done.out)["results"]] == ["mnn"]


def test_detect_on_photographs(
    cli: Cli, photos: list[Path], checkpoints: Path, tmp_path: Path
) -> None:
    out = tmp_path / "marked"
    done = cli(
        *("detect", photos[0].parent / "2*.jpg", "--model", checkpoints / "version-RFB-320.pth"),
        *("-o", out, "--csv", tmp_path / "faces.csv", "--json", "-", "--limit", "3"),
    )
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert len(document["results"]) == 3
    faces = sum(len(record["faces"]) for record in document["results"])
    assert faces > 5
    with (tmp_path / "faces.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == faces
    assert len(list(out.iterdir())) == 3


def test_detect_in_a_video(cli: Cli, shared: Path, tmp_path: Path) -> None:
    onnx = shared / "reference/onnx/version-slim-320_without_postprocessing.onnx"
    done = cli(
        *("detect", shared / "video/short_clip.mp4", "--model", onnx, "--limit", "20"),
        *("-o", tmp_path / "marked.mp4", "--json", tmp_path / "faces.json"),
    )
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "faces.json").read_text())["results"]
    assert [record["frame"] for record in results] == list(range(20))
    assert any(record["faces"] for record in results)
    capture = cv2.VideoCapture(str(tmp_path / "marked.mp4"))
    assert (capture.get(3), capture.get(4)) == (640, 360)
    capture.release()


def test_foreign_file_with_its_size_given(cli: Cli, shared: Path, photos: list[Path]) -> None:
    pytest.importorskip("ncnn", reason="ncnn runs it")
    param = shared / "reference/ncnn/RFB-320.param"
    refused = cli("detect", photos[0], "--model", param)
    assert refused.code == 2
    assert "--input-size" in refused.error
    done = cli("detect", photos[0], "--model", param, "--input-size", "320x240")
    assert done.code == 0, done.err


def test_unreadable_picture_is_skipped_and_said(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(pictures / name), np.zeros((50, 50, 3), np.uint8))
    (pictures / "b.jpg").write_bytes(b"no picture")
    done = cli("detect", pictures, "--model", folder.path, "--json", tmp_path / "faces.json")
    assert done.code == 1
    assert "1 of 3 pictures could not be read" in done.error
    assert "b.jpg" in done.err
    results = json.loads((tmp_path / "faces.json").read_text())["results"]
    assert [Path(record["file"]).name for record in results] == ["a.png", "c.png"]


def test_doctor(cli: Cli) -> None:
    text = cli("doctor")
    assert text.code == 0
    assert "onnxruntime" in text.out
    document = json.loads(cli("doctor", "--json", "-").out)
    assert document["schema"] == 1


def test_models(cli: Cli, tmp_path: Path) -> None:
    listed = cli("models", "list")
    assert listed.code == 0
    assert "published-slim-320" in listed.out
    records = json.loads(cli("models", "list", "--json", "-").out)["models"]
    assert {r["where"] for r in records if r["name"].startswith("published")} == {"to pull"}
    shown = cli("models", "info", "published-rfb-640")
    assert "bf34512b1a93dc23" in shown.out
    unknown = cli("models", "info", "nothing")
    assert unknown.code == 2
    assert "choose from" in unknown.error


def test_output_into_a_folder_that_is_not_there(
    cli: Cli, folder: ArtifactFolder, tmp_path: Path
) -> None:
    done = cli("detect", DEMO_PHOTO, "--model", folder.path, "-o", tmp_path / "new/marked.jpg")
    assert done.code == 0, done.err
    assert (tmp_path / "new/marked.jpg").is_file()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("doctor", "processor: "),
        ("models list", "slim-320"),
        ("bench compare times times", "no difference shown"),
        ("eval compare scores scores", "easy"),
        ("quantize report", "score error"),
    ],
)
def test_what_is_found_is_shown_before_a_full_disk_ends_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("times").write_text(report(measurement(2.0)).to_json())
    written(Path("scores"), result(0.1))
    ended = cli(*line.split(), "--json", "/dev/full")
    assert ended.code == 2, ended.err
    assert "/dev/full" in ended.error
    assert shown in ended.out
