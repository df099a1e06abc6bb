"""Other people's detectors as peers: what each needs; boxes come back in picture pixels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.accuracy import peers
from ultraface_deploy.accuracy.peers import OPTIONS, LibFaceDetection, open_peers
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.models import FOLDER
from ultraface_deploy.pipeline import Faces

# Answers with the size of its input as a face at 50 %, and one at 90 % that stands still.
LIBRARY = """
int *facedetect_cnn(unsigned char *buffer, unsigned char *bgr, int width, int height, int step)
{
    short *row = (short *)(buffer + 4);
    *(int *)buffer = 2;
    row[0] = 50; row[1] = 0; row[2] = 0; row[3] = width; row[4] = height;
    row[16] = 90; row[17] = 10; row[18] = 20; row[19] = 30; row[20] = bgr[0];
    return (int *)buffer;
}
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, built = tmp_path / "fake.c", tmp_path / "libfake.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", built], check=True)
    return built


def test_libfacedetection_answers_in_pixels_of_the_picture(library: Path) -> None:
    picture = np.full((200, 400, 3), 40, np.uint8)
    faces = LibFaceDetection(library, 1).detect(picture, 100, 100)
    np.testing.assert_allclose(faces.scores, [0.9, 0.5])
    np.testing.assert_allclose(faces.boxes, [[40, 40, 160, 120], [0, 0, 400, 200]])


def test_a_library_without_its_function_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libnothing.so"
    path.write_bytes(b"no library")
    with pytest.raises(InputError, match="cannot be loaded"):
        LibFaceDetection(path, 1)


def test_our_model_is_what_the_detector_is() -> None:
    (own,) = open_peers(["slim-320"])
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    direct = Detector.open(FOLDER / "slim-320.onnx", backend="onnxruntime", options=OPTIONS)
    found, expected = own.peer.detect(picture, 320, 240), direct.detect(picture)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_our_model_keeps_proportions_at_another_size() -> None:
    pytest.importorskip("torch", reason="other sizes run there")
    import cv2

    from ultraface_deploy.safe.images import DEMO_PHOTO

    (own,) = open_peers(["slim-320"])
    picture = cv2.imread(str(DEMO_PHOTO))  # square
    face = own.peer.detect(picture, 320, 320)
    stretched = own.peer.detect(picture, 320, 240)
    np.testing.assert_allclose(face.boxes[0], stretched.boxes[0], atol=0.06 * picture.shape[0])


def test_an_entry_point_is_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        runtime, file, grid = "none", None, 1

        def detect(self, bgr: np.ndarray, width: int, height: int) -> Faces:
            return Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, int))

    class Entry:
        name = "mine"

        def load(self) -> object:
            return lambda file, threads: Nothing()

    def found(group: str, name: str | None = None) -> list[Entry]:
        return [Entry()] if name in (None, "mine") else []

    monkeypatch.setattr(peers, "entry_points", found)
    assert open_peers(["mine="])[0].name == "mine"
    with pytest.raises(InputError, match=r"there are yunet, .*mine"):
        open_peers(["yours=x"])


def test_a_kind_without_its_file_says_so() -> None:
    with pytest.raises(InputError, match="give yunet=FILE"):
        open_peers(["yunet="])


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(InputError, match="same name"):
        open_peers(["slim-320", "slim-320"])


def test_a_published_checkpoint_is_run_where_it_was_pulled(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="runs the checkpoint")
    monkeypatch.setenv("ULTRAFACE_DEPLOY_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="models pull published-slim-320"):
        open_peers(["published-slim-320"])
    shutil.copy(checkpoints / "version-slim-320.pth", tmp_path / "published-slim-320.pth")
    (peer,) = open_peers(["published-slim-320"])
    assert peer.name == "published-slim-320" and peer.peer.file is not None
