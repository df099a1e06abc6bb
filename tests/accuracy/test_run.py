"""An evaluation from start to end, on small data and on the published checkpoints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, Convert
from ultraface_deploy.accuracy import (
    EvalSettings,
    Options,
    evaluate_folder,
    evaluate_wider,
    find_subjects,
)
from ultraface_deploy.accuracy.coco_metrics import coco_metrics
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
from ultraface_deploy.wider import TruthImage, read_predictions

# Three images in two events, named as the official files name them.
NAMES = ("0--Parade/a", "0--Parade/b", "1--Talk/c")
FACES = {name: [((60, 30, 80, 90), ["easy", "medium", "hard"])] for name in NAMES}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The root of a data set in WIDER FACE's layout: three pictures with a face."""
    photo = cv2.resize(read_image(DEMO_PHOTO), (200, 240))
    for name in NAMES:
        path = tmp_path / "data" / "WIDER_val" / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), photo)
    return tmp_path / "data"


@pytest.fixture
def ground_truth(tmp_path: Path, write_truth) -> Path:
    return write_truth(tmp_path / "ground_truth", FACES)


@pytest.fixture
def command(folder: ArtifactFolder, pictures: Path, ground_truth: Path) -> list[object]:
    paths = ["eval", folder.path, "--data", pictures, "--ground-truth", ground_truth]
    return [*paths, "--backend", "onnxruntime", "--jobs", "1", "--threshold", "0.3"]


def test_several_artifacts_in_one_go(command, cli, tmp_path: Path) -> None:
    saved, picture, curves = tmp_path / "saved", tmp_path / "curves.svg", tmp_path / "curves.csv"
    run = cli(
        *command, "--backend", "ncnn", "--json", "-", "--coco",
        "--save-predictions", saved, "--plot", picture, "--curves", curves,
    )  # fmt: skip
    assert run.code == 0
    document = json.loads(run.out)
    assert document["protocol"]["score_threshold"] == 0.3
    assert document["protocol"]["resize"] == "stretch"
    first, second = document["results"]
    assert (first["artifact"], first["backend"], first["precision"]) == (
        "onnxsim", "onnxruntime", "fp32",
    )  # fmt: skip
    assert second["backend"] == "ncnn"
    for result in (first, second):
        assert (result["images"], result["missing"]) == (3, 0)
        assert {"easy", "medium", "hard", "coco", "by_height", "calibration"} <= result.keys()
    assert second["agreement"]["f1"] > 0.9
    # The predictions are in the official layout, and they score as the run did.
    assert (saved / "onnxsim@onnxruntime" / f"{NAMES[0]}.txt").is_file()
    again = cli(
        "eval", "--predictions", saved / "onnxsim@onnxruntime",
        "--ground-truth", command[5], "--json", "-",
    )  # fmt: skip
    assert json.loads(again.out)["results"][0]["easy"] == first["easy"]
    assert picture.stat().st_size > 1000
    assert curves.read_text().count("\n") == 1 + 2 * 3 * 1000


def test_all_precisions_are_all_that_the_runtimes_run(
    folder: ArtifactFolder, cli, command, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder.path, tmp_path / "copy"))
    convert(resolve_source(copy), ["mnn", "ncnn"], "fp16", copy)
    found = find_subjects(copy, ["mnn", "ncnn"], None)
    pairs = {(each.backend, each.precision) for each in found}
    assert pairs == {("mnn", "fp32"), ("mnn", "fp16"), ("ncnn", "fp32"), ("ncnn", "fp16")}
    everywhere = {each.label for each in find_subjects(copy, ["all"])}
    assert {each.label for each in find_subjects(copy, [], None)} == everywhere
    with pytest.raises(InputError, match="contains nothing that native runs"):
        find_subjects(copy, ["mnn", "native"], None)
    command[1] = copy
    command[command.index("onnxruntime")] = "mnn"
    run = cli(*command, "--precision", "all", "--json", "-")
    assert [each["artifact"] for each in json.loads(run.out)["results"]] == ["mnn", "mnn-fp16"]
    refused = cli(*command, "--precision", "al")
    assert refused.code == 2 and "'al' is unknown" in refused.error


def test_a_killed_run_continues(command, cli, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    assert cli(*command, "--save-predictions", saved, "--json", "-").code == 0
    files = [saved / "onnxsim@onnxruntime" / f"{name}.txt" for name in NAMES]
    files[0].unlink()
    before = [path.stat().st_mtime_ns for path in files[1:]]
    assert cli(*command, "--save-predictions", saved, "--json", "-").code == 0
    assert files[0].is_file()
    assert [path.stat().st_mtime_ns for path in files[1:]] == before


def test_predictions_of_other_settings_are_not_taken(command, cli, tmp_path: Path) -> None:
    assert cli(*command, "--save-predictions", tmp_path / "saved").code == 0
    run = cli(*command, "--save-predictions", tmp_path / "saved", "--keep-aspect")
    assert run.code == 2 and "other images, settings or files" in run.error


def test_predictions_of_nobody_knows_what_are_not_taken(command, cli, tmp_path: Path) -> None:
    stranger = tmp_path / "saved" / "onnxsim@onnxruntime" / "0--Parade" / "1.txt"
    stranger.parent.mkdir(parents=True)
    stranger.touch()
    run = cli(*command, "--save-predictions", tmp_path / "saved")
    assert run.code == 2 and "holds files of another origin" in run.error


def test_an_unreadable_image_is_named_and_the_run_goes_on(command, cli, pictures: Path) -> None:
    (pictures / "WIDER_val" / "images" / f"{NAMES[1]}.jpg").write_bytes(b"no image")
    run = cli(*command, "--json", "-")
    assert run.code == 1 and "1 image could not be read" in run.error
    result = json.loads(run.out)["results"][0]
    assert result["images"] == 2 and list(result["unreadable"]) == [NAMES[1]]


def test_missing_images_are_an_error_unless_allowed(command, cli, pictures: Path) -> None:
    (pictures / "WIDER_val" / "images" / f"{NAMES[1]}.jpg").unlink()
    refused = cli(*command)
    assert refused.code == 2 and "1 of 3 images are missing" in refused.error
    run = cli(*command, "--allow-missing", "--json", "-")
    assert run.code == 0 and "1 image of the ground truth missing" in run.err
    assert json.loads(run.out)["results"][0]["missing"] == 1


def test_broken_predictions_of_others_are_counted(cli, ground_truth: Path, tmp_path: Path) -> None:
    for name in NAMES:
        path = tmp_path / "theirs" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n3\n60 30 80 90 0.9\nnan 1 2 3 0.5\n10 10 -5 4 0.4\n")
    theirs = ["eval", "--predictions", tmp_path / "theirs", "--ground-truth", ground_truth]
    run = cli(*theirs, "--json", "-")
    assert run.code == 0 and "6 of 9 predictions are not finite or inverted" in run.err
    result = json.loads(run.out)["results"][0]
    assert (result["invalid_predictions"], result["easy"]) == (6, 1)
    path.unlink()
    assert "1 of 3 predictions are missing" in cli(*theirs).error
    path.write_text("x\n7\n60 30 80 90 0.9\n")
    assert "announces 7 predictions" in cli(*theirs).error


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--scale", "big"], "--scale big"),
        (["--scale", "640", "--keep-aspect"], "--keep-aspect"),
        (["--input-size", "640x480"], "convert the model again"),
        (["--nms", "none"], "--nms none"),
        (["--plot", "curves.doc"], "curves.doc"),
        (["--precision", "int4"], "int4"),
    ],
)
def test_wrong_usage_is_one_line(command, cli, arguments: list[str], problem: str) -> None:
    run = cli(*command, *arguments)
    assert run.code == 2 and problem in run.error


def test_what_is_missing_on_the_command_line_is_named(cli, folder: ArtifactFolder) -> None:
    assert "--data is missing" in cli("eval", folder.path).error
    assert "--labels is missing" in cli("eval", folder.path, "--folder", folder.path).error


def test_own_pictures_with_an_image_without_faces(folder: ArtifactFolder, pictures: Path) -> None:
    images = {name: pictures / "WIDER_val" / "images" / f"{name}.jpg" for name in NAMES}
    subjects = find_subjects(folder.path, ["onnxruntime"])
    # A network with random weights is sure of nothing: any score will do.
    settings, options = EvalSettings(score_threshold=0.0, candidates=50), Options(processes=1)
    # What the network finds in one picture is the truth of another; the third has no faces.
    found = _predictions(subjects, images, settings, pictures.parent / "saved")
    boxes = found[NAMES[0]][0][:1].tolist()
    truth = [truth_image(n, boxes) for n in NAMES[:2]] + [truth_image(NAMES[2], [])]
    evaluation = evaluate_folder(subjects, images, truth, 0.5, settings, options)
    (result,) = evaluation.results
    count = len(found[NAMES[0]][1])
    assert count
    # At the best score: two hits, and one false alarm in the picture without faces.
    assert result.ap()["ap"] == pytest.approx(2 / 3)
    details = result.to_dict()
    assert details["predictions"] == 3 * count
    assert details["operating_point"]["false_positives_per_image"] == pytest.approx(1 / 3)
    assert details["operating_point"]["precision"] == pytest.approx(2 / 3)


def _predictions(subjects, images, settings: EvalSettings, saved: Path):
    truth = [truth_image(name, [[0, 0, 9, 9]]) for name in images]
    options = Options(processes=1, save=saved)
    evaluate_folder(subjects, images, truth, 0.1, settings, options)
    return read_predictions(saved / subjects[0].label, images)


def truth_image(name: str, boxes: list[list[float]]) -> TruthImage:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return TruthImage(name, corners, np.ones((1, len(corners)), bool))


def test_coco_metrics_of_perfect_and_of_no_predictions() -> None:
    truth = [truth_image("a", [[10, 10, 60, 60], [100, 10, 180, 90]])]
    perfect = coco_metrics({"a": (truth[0].boxes, np.array([0.9, 0.8]))}, truth, 0)
    assert perfect["ap"] == pytest.approx(1) and perfect["ap_small"] is None
    assert coco_metrics({}, truth, 0)["ap"] == 0


def test_all_needs_a_folder(make_checkpoint) -> None:
    with pytest.raises(InputError, match="`backend` all"):
        find_subjects("slim-320", ["all"])
    assert [each.backend for each in find_subjects(make_checkpoint(), ["all"])] == ["torch"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slim-320", (0.7817, 0.6798, 0.4533)),
        pytest.param("RFB-320", (0.8024, 0.7007, 0.4854), marks=pytest.mark.long),
        pytest.param("slim-640", (0.8622, 0.8339, 0.6065), marks=pytest.mark.long),
        pytest.param("RFB-640", (0.8768, 0.8439, 0.6425), marks=pytest.mark.long),
    ],
)
def test_published_checkpoints_reach_their_figures(
    shared: Path, converted: Convert, name: str, expected: tuple[float, float, float]
) -> None:
    """As ONNX, compared with the checkpoint when it was made: torch takes thrice as long."""
    wider = shared / "wider"
    made = converted(shared / "checkpoints" / f"version-{name}.pth", "onnx")
    subjects = find_subjects(made.path, ["onnxruntime"])
    (result,) = evaluate_wider(subjects, wider, wider / "ground_truth_dev").results
    assert tuple(result.ap().values()) == pytest.approx(expected, abs=0.001)


def test_a_script_without_a_guard_evaluates_once(
    folder: ArtifactFolder, pictures: Path, ground_truth: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from ultraface_deploy.accuracy import evaluate_wider, find_subjects\n"
        f"subjects = find_subjects({str(folder.path)!r}, ['onnxruntime'])\n"
        f"places = Path({str(pictures)!r}), Path({str(ground_truth)!r})\n"
        "found = evaluate_wider(subjects, *places).to_dict()['results']\n"
        "print('images', [each['images'] for each in found])\n"
    )
    for words, text in (([script], None), (["-"], script.read_text())):
        done = subprocess.run(
            [sys.executable, *words], input=text, cwd=ROOT, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "images [3]\n"), done.stderr
        assert "images" not in done.stderr, "what a process prints goes to standard error"
