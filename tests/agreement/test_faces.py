"""The one definition of the same faces, and that every judge uses it."""

from __future__ import annotations

import numpy as np
import pytest

from ultraface_deploy.agreement.faces import SameFaces, f1_score, match_faces
from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.pipeline import Faces

BOX = (10.0, 10.0, 50.0, 50.0)
NEAR = (12.0, 10.0, 52.0, 50.0)
FAR = (200.0, 200.0, 240.0, 240.0)


def faces(*boxes: tuple[float, ...], labels: tuple[int, ...] | None = None) -> Faces:
    count = len(boxes)
    return Faces(
        np.array(boxes, np.float32).reshape(count, 4),
        np.linspace(0.9, 0.6, count, dtype=np.float32),
        np.array(labels or [1] * count, np.int64),
    )


def counted(wanted: Faces, had: Faces) -> SameFaces:
    same = SameFaces()
    same.add(wanted, had)
    return same


def test_one_face_found_twice_is_right_once() -> None:
    same = counted(faces(BOX), faces(BOX, NEAR))
    assert (same.recall, same.precision) == (1.0, 0.5)
    assert same.f1 == pytest.approx(2 / 3)


def test_another_label_is_another_face() -> None:
    assert match_faces(faces(BOX, labels=(1,)), faces(BOX, labels=(2,))) == []


def test_the_best_scored_chooses_first() -> None:
    (iou,) = match_faces(faces(BOX), faces(NEAR, BOX))
    assert iou == pytest.approx(38 * 40 / (2 * 1600 - 38 * 40))


def test_counts_add_up_over_images() -> None:
    same = SameFaces()
    same.add(faces(BOX, FAR), faces(BOX))
    same.add(faces(), faces(FAR))
    assert (same.wanted, same.found, same.had, same.right) == (2, 1, 2, 1)
    assert (same.f1, same.mean_iou) == (0.5, 1.0)


def test_what_is_nearly_found_may_stand_in() -> None:
    same = SameFaces()
    same.add(faces(BOX), faces(FAR), wanted_loose=faces(BOX, FAR), had_loose=faces(FAR, BOX))
    assert (same.recall, same.precision) == (1.0, 1.0)


def test_nothing_to_find_is_agreement_and_nothing_found_is_not() -> None:
    assert counted(faces(), faces()).f1 == 1.0
    assert counted(faces(BOX), faces()).f1 == 0.0
    assert f1_score(0, 0) == 0


def test_each_bound_is_held() -> None:
    same = counted(faces(BOX), faces(NEAR))
    assert same.objections(Tolerance(None, None, 1.0, 0.9)) == []
    (moved,) = same.objections(Tolerance(None, None, 1.0, 0.99))
    assert moved == "mean IoU 0.905, wanted 0.99"
    (lost,) = counted(faces(BOX), faces()).objections(Tolerance(None, None, 0.97, 0.93))
    assert lost == "faces agree with F1 0.000 (recall 0.000, precision 1.000), wanted 0.97"
