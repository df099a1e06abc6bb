"""What the benchmark of tiles counts as found."""

from __future__ import annotations

import numpy as np

from ultraface_deploy.benchmarks.tiles import matched

FACES = np.array([[0, 0, 10, 10], [100, 100, 120, 120]], np.float32)


def test_a_face_is_found_once_by_one_box() -> None:
    found = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert matched(found, FACES).tolist() == [True, False]


def test_nothing_found_and_nothing_there() -> None:
    nothing = np.empty((0, 4), np.float32)
    assert matched(nothing, FACES).tolist() == [False, False]
    assert matched(FACES, nothing).tolist() == []
