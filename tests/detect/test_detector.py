"""The detector: what it opens, what it finds, and that every backend finds the same."""

from __future__ import annotations

import copy
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import ultraface_deploy
import ultraface_deploy.bench
from tests.conftest import ROOT, Convert, MakeCheckpoint, noise
from ultraface_deploy import Detector as PublicDetector
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.known import Known
from ultraface_deploy.pipeline import Faces, PostprocessOptions, iou_matrix
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.safe.images import DEMO_PHOTO, read_picture

BACKENDS = ("onnxruntime", "mnn", "ncnn", "opencv")


@pytest.fixture(scope="module")
def photographs(photos: list[Path]) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in photos]


@pytest.fixture(scope="module", params=["slim-320", "RFB-320"])
def published(
    request: pytest.FixtureRequest, checkpoints: Path, converted: Convert
) -> ArtifactFolder:
    checkpoint = checkpoints / f"version-{request.param}.pth"
    return converted(checkpoint, "onnx", "onnxsim", "mnn", "ncnn")


def found_on_all(
    folder: ArtifactFolder, backend: str, photographs: list[np.ndarray]
) -> list[Faces]:
    with Detector.open(folder.path, backend, options=PostprocessOptions(0.5)) as detector:
        return list(detector.detect_many(photographs))


def test_every_backend_finds_the_same_faces(
    published: ArtifactFolder, photographs: list[np.ndarray]
) -> None:
    wanted = found_on_all(published, "torch", photographs)
    assert sum(map(len, wanted)) > 200
    for backend in BACKENDS:
        if not get_backend(backend).available():
            continue
        found = found_on_all(published, backend, photographs)
        overlaps: list[float] = []
        for had, want in zip(found, wanted, strict=True):
            assert len(had) == len(want), backend
            if len(want):
                matrix = iou_matrix(want.boxes, had.boxes)
                assert matrix.max(axis=1).min() >= 0.5, "recall"
                assert matrix.max(axis=0).min() >= 0.5, "precision"
                overlaps += matrix.max(axis=1).tolist()
        assert np.mean(overlaps) > 0.99, backend


def test_three_lines_of_python(published: ArtifactFolder, photographs: list[np.ndarray]) -> None:
    detector = PublicDetector.open(published.path, backend="onnxruntime", threads=2)
    faces = detector.detect(photographs[0])
    assert faces.boxes.shape == (len(faces), 4)
    assert faces.boxes.dtype == np.float32
    assert (np.diff(faces.scores) <= 0).all()
    height, width = photographs[0].shape[:2]
    assert (faces.boxes[:, 2] > faces.boxes[:, 0]).all()
    assert faces.boxes.max() < max(height, width) * 1.2


def test_gray_alpha_and_16_bit_images_find_the_same_faces(
    published: ArtifactFolder, photographs: list[np.ndarray]
) -> None:
    photo = max(photographs, key=lambda image: image.size)
    with Detector.open(published.path, "onnxruntime") as detector:
        wanted = detector.detect(photo)
        assert len(wanted)
        for image in (
            np.dstack([photo, np.full(photo.shape[:2], 7, np.uint8)]),
            photo.astype(np.uint16) * 257,
            np.ascontiguousarray(photo[:, ::-1])[:, ::-1],
        ):
            found = detector.detect(image)
            np.testing.assert_array_equal(found.boxes, wanted.boxes)
        gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
        assert len(detector.detect(gray)) > 0
        np.testing.assert_array_equal(
            detector.detect(gray).boxes, detector.detect(np.dstack([gray] * 3)).boxes
        )


def test_options(published: ArtifactFolder, photographs: list[np.ndarray]) -> None:
    strict = Detector.open(published.path, "onnxruntime", options=PostprocessOptions(0.9, top_k=1))
    loose = Detector.open(published.path, "onnxruntime", options=PostprocessOptions(0.3))
    for photo in photographs[:4]:
        assert len(strict.detect(photo)) <= min(1, len(loose.detect(photo)))


@pytest.fixture
def detector(folder: ArtifactFolder) -> Detector:
    return Detector.open(folder.path)


def test_images_of_any_shape(detector: Detector) -> None:
    for size in ((1, 1), (1, 500), (500, 1), (3000, 20)):
        detector.detect(noise(*size))


def test_what_is_no_image(detector: Detector) -> None:
    for wrong in (np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), float)):
        with pytest.raises(InputError, match=r"image|array"):
            detector.detect(wrong)


def test_first_installed_backend_is_taken(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Detector.open(folder.path).backend.name == "onnxruntime"
    monkeypatch.setattr(type(get_backend("onnxruntime")), "available", lambda self: False)
    assert Detector.open(folder.path).backend.name == "mnn"
    with pytest.raises(MissingDependency, match="onnxruntime"):
        Detector.open(folder.path, backend="onnxruntime")


def test_simplified_is_preferred(folder: ArtifactFolder) -> None:
    (folder.path / folder.find("onnx").files[0]).unlink()
    Detector.open(folder.path, backend="onnxruntime")


def test_artifact_that_is_not_there(folder: ArtifactFolder) -> None:
    with pytest.raises(InputError, match=r"no int8 artifact for mnn \(it has .*--to mnn --int8"):
        Detector.open(folder.path, "mnn", "int8")


def test_changed_artifact_is_refused(folder: ArtifactFolder) -> None:
    file = folder.files(folder.find("mnn"))[0]
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InputError, match="SHA-256 differs"):
        Detector.open(folder.path, "mnn")


def test_single_file_of_a_folder_has_its_spec(folder: ArtifactFolder) -> None:
    for format in ("onnx", "mnn", "ncnn", "torch"):
        file = folder.files(folder.find(format))[0]
        assert Detector.open(file).spec == folder.spec


def test_own_onnx_file_alone_says_what_it_is(folder: ArtifactFolder, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    shutil.copy(folder.files(folder.find("onnx"))[0], alone)
    for backend in ("onnxruntime", "opencv"):
        assert Detector.open(alone, backend).spec == folder.spec


def test_checkpoint_at_another_size(make_checkpoint: MakeCheckpoint) -> None:
    detector = Detector.open(make_checkpoint(), input_size=(160, 120), head="decoded")
    assert detector.spec.input_shape == (1, 3, 120, 160)
    assert detector.spec.head == "decoded"


def test_backend_that_does_not_read_the_format(folder: ArtifactFolder) -> None:
    file = folder.files(folder.find("mnn"))[0]
    with pytest.raises(InputError, match="backend ncnn reads ncnn, not mnn"):
        Detector.open(file, "ncnn")


def test_nothing_of_that_name(tmp_path: Path) -> None:
    for model in (tmp_path / "gone.onnx", "no-such-model", tmp_path):
        with pytest.raises(InputError):
            Detector.open(model)


def test_memory_does_not_grow_with_the_number_of_images(detector: Detector) -> None:
    def endless() -> object:
        for seed in range(40):
            yield noise(400, 300, seed)

    peaks = []
    tracemalloc.start()
    try:
        for _ in detector.detect_many(endless()):  # type: ignore[arg-type]
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[-1] - peaks[9] < 400 * 300 * 3


def test_says_what_it_is(folder: ArtifactFolder) -> None:
    name = folder.spec.name
    assert repr(Detector.open()) == "<Detector slim-320 320x240, onnxruntime fp32>"
    opened = Detector.open(folder.path, backend="mnn")
    assert repr(opened) == f"<Detector {name} 128x96, mnn fp32>"
    (file,) = folder.files(folder.find("mnn"))
    assert repr(Detector.open(file)) == f"<Detector {name} 128x96, mnn fp32>"
    foreign = file.parent.parent / "foreign.mnn"
    foreign.write_bytes(file.read_bytes())
    assert repr(Detector.open(foreign)).endswith(", mnn fp32>")


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_picture_decoded_smaller_has_its_faces_in_the_same_places(
    tmp_path: Path, keep_aspect: bool
) -> None:
    photo = cv2.imread(str(DEMO_PHOTO))
    large = cv2.resize(photo, (2563, 1926), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "large.jpg"
    cv2.imwrite(str(path), large)
    detector = Detector.open(view=View(keep_aspect=keep_aspect, clip=True, min_size=100))
    image, _, reduction = read_picture(path, (640, 480))
    assert reduction is not None and reduction.factor == 4
    wanted = detector.detect(read_picture(path).image)
    found = detector.detect(image, reduction)
    assert len(wanted) and len(found)
    assert iou_matrix(wanted.boxes, found.boxes)[0, 0] > 0.94


def test_what_is_imported_late_is_listed_for_those_who_type() -> None:
    for package in (ultraface_deploy, ultraface_deploy.bench):
        assert set(package.__all__) <= set(dir(package))


def test_a_closed_detector_says_so(detector: Detector) -> None:
    detector.close()
    detector.close()
    assert repr(detector) == "<Detector, closed>"
    for use in (detector.detect, lambda image: detector.detect_batch([image])):
        with pytest.raises(InputError, match="the detector is closed; open it again"):
            use(noise(20, 20))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_detector_says_why_it_is_not_copied(
    detector: Detector, copied: Callable[[Detector], object]
) -> None:
    with pytest.raises(TypeError, match="another process; open one there from the same file"):
        copied(detector)


_FORK = """
import os, sys
from tests.conftest import noise
from ultraface_deploy import BackendError, Detector
model, backend, threads, opened_there = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
detector, image = Detector.open(model, backend, threads=threads), noise(200, 200)
wanted = detector.detect(image)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
code = 9
try:
    if opened_there == "yes":
        detector = Detector.open(model, backend, threads=threads)
    code = 0 if detector.detect(image) == wanted else 7
except BackendError as error:
    code = 3 if "forked" in str(error) else 8
finally:
    os._exit(code)
"""


@pytest.mark.parametrize("opened_there", ["no", "yes"])
@pytest.mark.parametrize("backend", ["onnxruntime", "mnn", "ncnn", "torch"])
def test_a_forked_process_does_not_wait_for_threads_that_stayed_behind(
    folder: ArtifactFolder, backend: str, opened_there: str
) -> None:
    for threads, ends_with in ((1, 0), (2, 3)):
        words = [sys.executable, "-c", _FORK, str(folder.path), backend, str(threads), opened_there]
        assert subprocess.run(words, cwd=ROOT, timeout=100).returncode == ends_with, threads


@pytest.mark.parametrize("shape", [(60, 40, 3), (60, 40, 1), (60, 40, 4), (60, 40)])
def test_lines_of_one_image_are_not_taken_for_images(
    detector: Detector, shape: tuple[int, ...]
) -> None:
    image = np.zeros(shape, np.uint8)
    for several in (detector.detect_batch, detector.detect_many):
        with pytest.raises(InputError, match="is one image; give a list of them"):
            several(image)
        assert len(list(several([image, image]))) == 2


def test_16_bits_in_the_other_order_of_bytes(detector: Detector) -> None:
    image = noise(90, 70).astype(np.uint16) * 257
    assert detector.detect(image.astype(">u2")) == detector.detect(image.astype("<u2"))


def test_what_contradicts_the_manifest_is_refused(folder: ArtifactFolder) -> None:
    (file,) = folder.files(folder.find("mnn"))
    for model in (folder.path, file):
        assert Detector.open(model, "mnn", input_size=(128, 96)).spec == folder.spec
        with pytest.raises(InputError, match="is made for 128x96; convert it again"):
            Detector.open(model, "mnn", input_size=(640, 480))
        with pytest.raises(InputError, match="states itself what its network reads"):
            Detector.open(model, "mnn", known=Known(mean=(1, 2, 3)))
    with pytest.raises(InputError, match="precision 'int4' is unknown"):
        Detector.open(folder.path, precision="int4")  # type: ignore[arg-type]
    for threads in (0, 257):
        with pytest.raises(InputError, match=f"`threads` {threads}: give 1 to 256"):
            Detector.open(folder.path, threads=threads)
