"""Pre- and postprocessing must not be the bottleneck that they are in the published demos."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2

from tests.conftest import Convert
from ultraface_deploy.backends import get_backend
from ultraface_deploy.pipeline import postprocess, preprocess


def cpu_seconds(stage: Callable[[], object], repeats: int = 60) -> float:
    """The least time of its own thread that a stage took; other load hardly changes it."""
    least = float("inf")
    for _ in range(repeats):
        started = time.thread_time()
        stage()
        least = min(least, time.thread_time() - started)
    return least


def test_a_fraction_of_the_networks_time(
    checkpoints: Path, photos: list[Path], converted: Convert
) -> None:
    photo = next(
        image for path in photos if (image := cv2.imread(str(path))).shape[:2] == (609, 1024)
    )
    folder = converted(checkpoints / "version-slim-320.pth", "onnxsim")
    session = get_backend("onnxruntime").load(
        folder.files(folder.find("onnxsim")), folder.spec, threads=1
    )
    tensor = preprocess(photo, folder.spec)
    outputs = session.run(tensor)
    scores, boxes = outputs["scores"], outputs["boxes"]
    before = cpu_seconds(lambda: preprocess(photo, folder.spec))
    network = cpu_seconds(lambda: session.run(tensor))
    after = cpu_seconds(lambda: postprocess(scores, boxes, folder.spec, (1024, 609)))
    assert (before + after) / network < 0.4, (before, network, after)
