"""The table of reduced decoding, on a picture whose truth is what was found in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ultraface_deploy.benchmarks.reduced import LEFT, table
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
from ultraface_deploy.wider import TruthImage


def test_whole_pictures_are_right_and_large_ones_are_decoded_smaller(tmp_path: Path) -> None:
    (tmp_path / "event").mkdir()
    shutil.copy(DEMO_PHOTO, tmp_path / "event/a.jpg")
    detector = Detector.open()
    boxes = detector.detect(read_image(DEMO_PHOTO)).boxes.astype(np.float64)
    truth = [TruthImage("event/a", boxes, np.ones((3, len(boxes)), bool))]
    _, _, *rows = table(tmp_path, truth, detector)
    cells = [row.strip("| ").split(" | ") for row in rows]
    assert len(cells) == 2 * len(LEFT)
    assert cells[0] == ["as they are", "all", "0%", *["1.0000"] * 3, "0.0000"]
    # 512 pixels wide: half of it is less than once the input, of the large one a half is more than
    # twice, and so on.
    assert [row[2] for row in cells] == ["0%"] * 5 + ["0%", "0%", "100%", "100%", "100%"]
    assert all(row[3] == "1.0000" for row in cells)
