"""What goes wrong while detecting: videos that stop or change size, threads, memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.faults.folder import detect_in_folder
from tests.faults.soak import soak
from ultraface_deploy import Detector
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.run import run
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.safe.images import embedded_images


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(40):
        writer.write(random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path


def test_whole_video(video: Path) -> None:
    source = open_source(str(video))
    assert len(list(source)) == 40
    assert source.stopped is None


def test_video_that_stops_says_so(video: Path) -> None:
    source = open_source(str(video))
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    assert 0 < len(list(source)) < 38
    assert "of 40 pictures" in str(source.stopped)


def test_limit_is_no_early_stop(video: Path) -> None:
    source = open_source(str(video))
    frames = iter(source)
    next(frames)
    del frames
    assert source.stopped is None


class Camera:
    """Stands in for `cv2.VideoCapture`: gives what it was made with, None for a broken picture.

    Files are opened by the real one.
    """

    def __init__(self, pictures: list[np.ndarray | None]) -> None:
        self._pictures = iter(pictures)
        self._real = cv2.VideoCapture

    def __call__(self, source: int | str) -> Any:
        return self._real(source) if isinstance(source, str) else self

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else -1.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        picture = next(self._pictures, None)
        if picture is not None and not picture.size:
            raise cv2.error("a broken picture")
        return picture is not None, picture

    def release(self) -> None:
        pass


def test_camera_with_broken_pictures_and_another_size_goes_on_until_it_stops(
    folder: ArtifactFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = np.full((48, 64, 3), 90, np.uint8), np.full((96, 128, 3), 90, np.uint8)
    broken = np.empty((0, 0, 3), np.uint8)
    pictures = [small, None, broken, small, large, None, None, large]
    monkeypatch.setattr(cv2, "VideoCapture", Camera(pictures))
    source, out = open_source("0"), tmp_path / "marked.avi"
    with (
        Detector.open(folder.path, backend="onnxruntime") as detector,
        open_sinks(source, Wanted(out, csv=str(tmp_path / "faces.csv"))) as sinks,
    ):
        seen = [frame.image.shape[:2] for frame, _ in run(detector, source, sinks)]
    assert seen == [(48, 64), (48, 64), (96, 128), (96, 128)]
    assert source.stopped == "camera 0: stopped after 4 pictures"
    monkeypatch.undo()
    written = [frame.image.shape[:2] for frame in open_source(str(out))]
    assert written == [(48, 64)] * 4


def test_one_detector_a_thread(folder: ArtifactFolder) -> None:
    """Several at once give the same faces."""
    images = list(embedded_images())
    with Detector.open(folder.path, backend="onnxruntime") as detector:
        alone = [detector.detect(image).boxes for image in images]

    def detect(_: int) -> list[np.ndarray]:
        with Detector.open(folder.path, backend="onnxruntime") as own:
            return [own.detect(image).boxes for image in images]

    with ThreadPoolExecutor(4) as pool:
        for boxes in pool.map(detect, range(4)):
            for mine, theirs in zip(boxes, alone, strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("backend", ["onnxruntime", "mnn", "ncnn", "opencv", "torch"])
def test_threads_that_share_one_detector(folder: ArtifactFolder, backend: str) -> None:
    """Without a lock, threads find each other's faces in MNN and OpenCV."""
    images = list(embedded_images())
    with Detector.open(folder.path, backend=backend) as detector:
        alone = [detector.detect(image).boxes for image in images]

        def detect(start: int) -> None:
            for number in range(start, start + 30):
                found = detector.detect(images[number % len(images)]).boxes
                np.testing.assert_array_equal(found, alone[number % len(images)])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(detect, range(4)))


def test_memory_does_not_grow_with_the_pictures_of_a_folder(
    folder: ArtifactFolder, tmp_path: Path
) -> None:
    """A leak of one picture of the two (30 kB) each time would show as 30 MB."""
    figures = detect_in_folder(folder.path, 1500, tmp_path)
    assert isinstance(figures["growth_mb"], float)
    assert figures["growth_mb"] < 10


@pytest.mark.parametrize("backend", ["onnxruntime", "mnn", "ncnn", "opencv"])
def test_memory_does_not_grow(folder: ArtifactFolder, backend: str) -> None:
    """A leak of one output (20 kB at this size) each time would show as 9 MB."""
    growth = soak(folder.path, backend, 500)["growth_mb"]
    assert isinstance(growth, float)
    assert growth < 3
