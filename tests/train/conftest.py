"""A tiny data set: bright ovals on noise, which a network learns in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ultraface_deploy.train.data import Sample


@pytest.fixture
def tiny(tmp_path: Path) -> list[Sample]:
    """Eight 128x128 images with one or two faces of 20 to 60 pixels."""
    rng = np.random.default_rng(3)
    samples = []
    for number in range(8):
        image = rng.integers(0, 90, (128, 128, 3), np.uint8)
        boxes = []
        for left in (0, 64)[: 1 + number % 2]:
            side = int(rng.integers(20, 60))
            x, y = left + rng.integers(0, 64 - side), rng.integers(0, 128 - side)
            boxes.append([x, y, x + side, y + side])
            center = (int(x + side // 2), int(y + side // 2))
            cv2.ellipse(image, center, (side // 2, side // 2), 0, 0, 360, (120, 170, 230), -1)
        path = tmp_path / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), image)
        samples.append(Sample(path, np.float32(boxes), np.zeros(len(boxes), bool)))
    return samples
