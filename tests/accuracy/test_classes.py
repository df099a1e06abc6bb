"""AP of each class beside that of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ultraface_deploy.accuracy.classes import by_class, write_classes
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.wider import TruthImage

SPEC = ModelSpec("net", "slim", 64, 64, num_classes=4, class_names=("face", "mask", "hat"))
LEFT, MIDDLE, RIGHT = [0.0, 0, 20, 20], [30.0, 0, 50, 20], [60.0, 0, 80, 20]


def _truth(boxes: list[list[float]], labels: list[int]) -> TruthImage:
    array = np.array(boxes).reshape(-1, 4)
    return TruthImage("a/b.jpg", array, np.ones((1, len(array)), bool), np.array(labels, int))


def _write(folder: Path, boxes: list[list[float]], labels: list[int], spec: ModelSpec) -> None:
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    faces = Faces(np.array(boxes, np.float32).reshape(-1, 4), scores, np.array(labels, np.int64))
    write_classes(folder, "a/b.jpg", faces, spec)


def test_each_class_is_judged_by_its_own_faces(tmp_path: Path) -> None:
    """The mask is found as a face: a false alarm of one class, a miss of the other."""
    _write(tmp_path, [MIDDLE, LEFT], [1, 1], SPEC)
    found = by_class(SPEC, tmp_path, [_truth([LEFT, MIDDLE], [1, 2])])
    assert found == [
        # A false alarm before the only face: precision 1/2 at recall 1.
        {"label": 1, "name": "face", "faces": 1, "ap": 0.5},
        {"label": 2, "name": "mask", "faces": 1, "ap": 0.0},
        {"label": 3, "name": "hat", "faces": 0, "ap": None},
    ]


def test_all_found(tmp_path: Path) -> None:
    _write(tmp_path, [LEFT, MIDDLE, RIGHT], [1, 2, 3], SPEC)
    found = by_class(SPEC, tmp_path, [_truth([LEFT, MIDDLE, RIGHT], [1, 2, 3])])
    assert [each["ap"] for each in found] == [1.0, 1.0, 1.0]


def test_a_network_of_faces_alone_writes_nothing_more(tmp_path: Path) -> None:
    _write(tmp_path, [LEFT], [1], ModelSpec("net", "slim", 64, 64))
    assert list(tmp_path.iterdir()) == []
