"""Small ground truths as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from ultraface_deploy.wider import SETS, TruthImage

# Faces of an image as x y width height, and the sets that count each.
Faces = Sequence[tuple[tuple[float, float, float, float], Sequence[str]]]
MakeTruth = Callable[[Mapping[str, Faces]], tuple[TruthImage, ...]]


@pytest.fixture(scope="session")
def make_truth() -> MakeTruth:
    """Return a function that builds the records of some images."""

    def make(images: Mapping[str, Faces]) -> tuple[TruthImage, ...]:
        records = []
        for name, faces in images.items():
            boxes = np.array([box for box, _ in faces], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            kept = [[subset in sets for _, sets in faces] for subset in SETS]
            shaped = np.array(kept, dtype=bool).reshape(len(SETS), len(faces))
            records.append(TruthImage(name, boxes, shaped))
        return tuple(records)

    return make
