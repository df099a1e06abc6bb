"""The one record that all readers produce and training consumes."""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Sample:
    """One image and its faces.

    `boxes` (N, 4) float32 x1 y1 x2 y2 in pixels of the image; `ignored` (N,) bool marks faces
    that are neither to be found nor background; `landmarks` (N, 5, 2) float32 in pixels (eyes,
    nose, mouth corners), NaN where a face has none; `labels` (N,) int64 are the classes, from 1.
    """

    image: Path
    boxes: npt.NDArray[np.float32]
    ignored: npt.NDArray[np.bool_]
    landmarks: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 5, 2), np.float32)
    )
    labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.boxes):
            object.__setattr__(self, "labels", np.ones(len(self.boxes), np.int64))

    def __len__(self) -> int:
        return len(self.boxes)
