"""Other people's files through `Detector.open`: recognised, or asked for, or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from ultraface_deploy import models
from ultraface_deploy.artifacts import recognition
from ultraface_deploy.artifacts.folder import ArtifactFolder, file_names
from ultraface_deploy.artifacts.recognition import (
    head_of,
    recognise,
    spec_of_file,
)
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import format_and_files, format_names, get_format
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.family.known import NOTHING
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, iou_matrix, make_anchors

Original = Callable[[str], list[Faces]]


@pytest.fixture(scope="module")
def photographs(photos: list[Path]) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in photos[::4]]


@pytest.fixture(scope="module")
def original(checkpoints: Path, photographs: list[np.ndarray]) -> Original:
    """What the torch network of a published checkpoint finds."""
    pytest.importorskip("torch", reason="the original network runs in torch")

    @cache
    def find(name: str) -> list[Faces]:
        with Detector.open(checkpoints / f"version-{name}.pth") as detector:
            return list(detector.detect_many(photographs))

    return find


def assert_same_faces(found: list[Faces], wanted: list[Faces]) -> None:
    for had, want in zip(found, wanted, strict=True):
        assert len(had) == len(want)
        if len(want):
            best = iou_matrix(want.boxes, had.boxes).max(axis=1)
            assert best.min() > 0.9
            assert best.mean() > 0.99
            np.testing.assert_allclose(had.scores, want.scores, atol=2e-3)


@pytest.mark.parametrize(
    ("file", "name", "head"),
    [
        ("version-slim-320.onnx", "slim-320", "decoded"),
        ("version-slim-320_simplified.onnx", "slim-320", "raw"),
        ("version-slim-320_without_postprocessing.onnx", "slim-320", "raw"),
        ("version-RFB-320.onnx", "RFB-320", "decoded"),
        ("version-RFB-320_simplified.onnx", "RFB-320", "raw"),
        ("version-RFB-320_without_postprocessing.onnx", "RFB-320", "raw"),
        ("version-RFB-640.onnx", "RFB-640", "decoded"),
    ],
)
@pytest.mark.parametrize("backend", ["onnxruntime", "opencv"])
def test_published_onnx(
    shared: Path,
    photographs: list[np.ndarray],
    original: Original,
    file: str,
    name: str,
    head: str,
    backend: str,
) -> None:
    detector = Detector.open(shared / "reference/onnx" / file, backend=backend)
    assert detector.spec.head == head
    assert (detector.spec.width, detector.spec.num_classes) == (int(name[-3:]), 2)
    assert_same_faces(list(detector.detect_many(photographs)), original(name))


@pytest.mark.parametrize("name", ["slim-320", "RFB-320"])
def test_published_mnn(
    shared: Path, photographs: list[np.ndarray], original: Original, name: str
) -> None:
    pytest.importorskip("MNN", reason="MNN runs it")
    detector = Detector.open(shared / f"reference/mnn/{name}.mnn")
    assert (detector.backend.name, detector.spec.head) == ("mnn", "raw")
    assert detector.spec.input_shape == (1, 3, 240, 320)
    assert_same_faces(list(detector.detect_many(photographs)), original(name))


@pytest.mark.parametrize(("file", "name"), [("slim_320", "slim-320"), ("RFB-320", "RFB-320")])
def test_published_ncnn_does_not_say_its_size(
    shared: Path, photographs: list[np.ndarray], original: Original, file: str, name: str
) -> None:
    pytest.importorskip("ncnn", reason="ncnn runs it")
    path = shared / f"reference/ncnn/{file}.param"
    with pytest.raises(InputError, match="give `input_size`"):
        Detector.open(path)
    detector = Detector.open(path, input_size=(320, 240))
    assert detector.spec.head == "raw"
    assert_same_faces(list(detector.detect_many(photographs)), original(name))


def test_ncnn_takes_another_size_when_asked(shared: Path, photographs: list[np.ndarray]) -> None:
    pytest.importorskip("ncnn", reason="ncnn runs it")
    path = shared / "reference/ncnn/slim_320.param"
    detector = Detector.open(path, input_size=(640, 480))
    assert detector.spec.num_anchors == 17640
    assert sum(map(len, detector.detect_many(photographs))) > 0


@pytest.mark.parametrize("name", ["slim-320", "RFB-320"])
def test_published_caffe(
    shared: Path, photographs: list[np.ndarray], original: Original, name: str
) -> None:
    path = shared / f"reference/caffe/{name}.prototxt"
    detector = Detector.open(path, backend="opencv", input_size=(320, 240))
    assert detector.spec.head == "raw"
    assert_same_faces(list(detector.detect_many(photographs)), original(name))


@pytest.mark.parametrize("file", ["RFB-320-quant-ADMM-32.mnn", "RFB-320-quant-KL-5792.mnn"])
def test_session_that_cannot_run_is_an_error(shared: Path, file: str) -> None:
    """MNN prints that it cannot run these, and returns numbers all the same."""
    pytest.importorskip("MNN", reason="MNN is asked to run it")
    with pytest.raises(BackendError, match="mnn cannot run it"):
        Detector.open(shared / "reference/mnn" / file)


def test_published_int8_that_does_run(shared: Path, photographs: list[np.ndarray]) -> None:
    pytest.importorskip("MNN", reason="MNN runs it")
    detector = Detector.open(shared / "reference/mnn/slim-320-quant-ADMM-50.mnn")
    assert sum(map(len, detector.detect_many(photographs))) > 0


def test_wrong_size_for_a_file_that_has_one(shared: Path) -> None:
    path = shared / "reference/onnx/version-slim-320.onnx"
    with pytest.raises(InputError, match="is fixed at 320x240"):
        Detector.open(path, input_size=(640, 480))


def test_head_can_be_said(shared: Path) -> None:
    path = shared / "reference/onnx/version-slim-320_without_postprocessing.onnx"
    assert Detector.open(path, head="decoded").spec.head == "decoded"


def test_spec_of_file_knows_the_architecture(shared: Path) -> None:
    folder = shared / "reference/onnx"
    slim = spec_of_file(folder / "version-slim-320.onnx")
    assert (slim.name, slim.architecture, slim.head) == ("slim-320", "slim", "decoded")
    rfb = spec_of_file(folder / "version-RFB-320_without_postprocessing.onnx", "mine")
    assert (rfb.name, rfb.architecture, rfb.head) == ("mine", "rfb", "raw")


def test_heads_by_hand() -> None:
    spec = ModelSpec("net", "slim")
    anchors = make_anchors(spec)
    corners = np.hstack([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2])
    generator = np.random.default_rng(0)
    assert head_of(corners, spec) == "decoded"
    assert head_of(corners + generator.normal(0, 0.002, corners.shape), spec) == "decoded"
    assert head_of(generator.normal(0, 1, corners.shape), spec) == "raw"
    assert head_of(np.zeros_like(corners), spec) == "raw"
    assert head_of(np.abs(generator.normal(0, 1, corners.shape)), spec) == "raw"


def test_three_classes_are_found_by_trying(
    converted: Callable[..., object], make_checkpoint: Callable[..., Path]
) -> None:
    pytest.importorskip("MNN", reason="MNN runs it")
    folder = converted(make_checkpoint("slim", 3), "mnn", size=(128, 96), head="decoded")
    file = folder.files(folder.find("mnn"))[0]  # type: ignore[attr-defined]
    spec = recognise(get_backend("mnn"), get_format("mnn"), [file])
    assert (spec.num_classes, spec.head, spec.width, spec.height) == (3, "decoded", 128, 96)


def test_a_file_is_opened_once_whatever_it_turns_out_to_be(
    converted: Callable[..., object],
    make_checkpoint: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = converted(make_checkpoint("slim", 3), "onnx", size=(128, 96), head="decoded")
    file = folder.files(folder.find("onnx"))[0]  # type: ignore[attr-defined]
    backend, opened = get_backend("onnxruntime"), []
    real = type(backend)._load

    def count(self: object, files: object, *rest: object) -> object:
        opened.append(files)
        return real(self, files, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(type(backend), "_load", count)
    unknown = ModelSpec("net", "unknown", 128, 96)
    session = recognition._loaded_as_any(backend, [file], unknown, NOTHING)
    assert session.spec.num_classes == 3 and opened == [[file]]
    four, five = (replace(unknown, num_classes=classes) for classes in (4, 5))
    with pytest.raises(BackendError, match=r"do not fit .* of 4 classes"):
        backend.load([file], four, alternatives=[five])


def test_companion_files(tmp_path: Path, shared: Path) -> None:
    shutil.copy(shared / "reference/ncnn/slim_320.param", tmp_path)
    with pytest.raises(InputError, match=r"slim_320\.bin beside it, which is missing"):
        format_and_files(tmp_path / "slim_320.param")
    with pytest.raises(InputError, match="unknown kind of model file"):
        format_and_files(tmp_path / "model.hailo")
    assert format_and_files(tmp_path / "a.onnx") == (get_format("onnx"), (tmp_path / "a.onnx",))


@pytest.mark.parametrize("name", format_names())
def test_companions_of_a_file_of_an_artifact_folder(tmp_path: Path, name: str) -> None:
    record = get_format(name)
    files = [tmp_path / each for each in file_names("net", record.suffixes, "int8")]
    for file in files:
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("x")
    assert list(record.companions(files[0])) == files


def test_file_that_is_replaced_while_it_is_tried(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the child found harmless is not what lies there now."""
    path, real = folder.path / "copy.onnx", recognition.run_in_child
    path.write_bytes(folder.files(folder.find("onnxsim"))[0].read_bytes())

    def replaced(*arguments: object, **rest: object) -> object:
        found = real(*arguments, **rest)  # type: ignore[arg-type]
        path.write_bytes(folder.files(folder.find("onnx"))[0].read_bytes())
        return found

    monkeypatch.setattr(recognition, "run_in_child", replaced)
    recognition._recognised_in_child.cache_clear()
    with pytest.raises(InputError, match="was replaced while it was read"):
        Detector.open(path)


def test_only_what_ships_needs_no_child(folder: ArtifactFolder) -> None:
    assert recognition._ships([models.FOLDER / "slim-320.onnx"])
    assert not recognition._ships(folder.files(folder.find("onnx")))


@pytest.mark.parametrize("size", [None, (320, 240)])
def test_an_input_with_the_colours_last_is_named(
    folder: ArtifactFolder, tmp_path: Path, size: tuple[int, int] | None
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(folder.files(folder.find("onnxsim"))[0])
    del model.metadata_props[:]
    (name,) = [each.name for each in model.graph.input]
    turn = onnx.helper.make_node("Transpose", ["picture"], [name], perm=[0, 3, 1, 2])
    model.graph.node.insert(0, turn)
    del model.graph.input[:]
    shape = [1, 240, 320, 3]
    model.graph.input.append(onnx.helper.make_tensor_value_info("picture", 1, shape))
    path = tmp_path / "nhwc.onnx"
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"nhwc\.onnx: reads pictures with the colours last"):
        Detector.open(path, input_size=size)
