"""Assignment of faces to anchors on cases worked by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import decode, make_anchors
from ultraface_deploy.train.matching import BACKGROUND, FACE, IGNORE, corner_anchors, match

SPEC = ModelSpec("slim-320", "slim")
SIZE = np.float32([320, 240, 320, 240])
NOT_IGNORED = np.zeros(1, bool)


def boxes(*pixels: tuple[float, float, float, float]) -> np.ndarray:
    return np.float32(pixels).reshape(-1, 4) / SIZE


def test_a_face_on_an_anchor_takes_it_with_zero_offsets() -> None:
    # The first anchor of cell (column 5, row 3) of the stride-8 map: centre (44, 28), side 10.
    number = (3 * 40 + 5) * 3
    targets = match(boxes((39, 23, 49, 33)), NOT_IGNORED, SPEC)
    assert targets.labels[number] == FACE
    np.testing.assert_allclose(targets.offsets[number], 0, atol=1e-4)
    # The 16-pixel anchor of the cell has IoU 100 / 256 = 0.39 and takes it too; its sides have
    # to shrink by 10 / 16: log(10 / 16) / 0.2.
    assert targets.labels[number + 1] == FACE
    np.testing.assert_allclose(
        targets.offsets[number + 1], [0, 0, *[np.log(10 / 16) / 0.2] * 2], atol=1e-4
    )
    # The 24-pixel anchor has 100 / 576 and does not; the neighbour's 10-pixel anchor has
    # 20 / 180 and does not; its 16-pixel anchor has 50 / 306 and does not.
    assert (targets.labels[[number + 2, number + 3, number + 4]] == BACKGROUND).all()
    assert (targets.labels == FACE).sum() == 2


def test_a_face_too_small_for_the_threshold_still_takes_its_best_anchor() -> None:
    # 4x4 on a 10x10 anchor: IoU 0.16.
    targets = match(boxes((42, 26, 46, 30)), NOT_IGNORED, SPEC)
    assert np.flatnonzero(targets.labels).tolist() == [(3 * 40 + 5) * 3]


def test_an_ignored_face_makes_its_anchors_count_as_nothing() -> None:
    targets = match(boxes((39, 23, 49, 33)), np.array([True]), SPEC)
    assert set(targets.labels) == {IGNORE, BACKGROUND} and (targets.labels == IGNORE).sum() == 2


def test_a_real_face_wins_the_anchor_it_shares_with_an_ignored_one() -> None:
    both = boxes((42, 26, 46, 30), (41, 25, 47, 31))
    for ignored, expected in (([True, False], FACE), ([True, True], IGNORE)):
        assert match(both, np.array(ignored), SPEC).labels[(3 * 40 + 5) * 3] == expected


def test_an_image_without_faces_is_all_background() -> None:
    assert not match(np.empty((0, 4), np.float32), np.empty(0, bool), SPEC).labels.any()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(0, 0.7)] * 2, *[st.floats(0.02, 0.3)] * 2),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_matched_decodes_to_a_face_that_was_given(faces: list[tuple[float, ...]]) -> None:
    given_faces = np.float32(faces)
    given_faces[:, 2:] += given_faces[:, :2]
    targets = match(given_faces, np.zeros(len(faces), bool), SPEC)
    taken = targets.labels == FACE
    assert taken.any()
    found = decode(targets.offsets[taken], make_anchors(SPEC)[taken], 0.1, 0.2)
    distance = np.abs(found[:, None] - given_faces[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-4


def test_corner_anchors_are_the_anchors() -> None:
    corners, anchors = corner_anchors(SPEC), make_anchors(SPEC)
    np.testing.assert_allclose((corners[:, :2] + corners[:, 2:]) / 2, anchors[:, :2], atol=1e-6)
    np.testing.assert_allclose(corners[:, 2:] - corners[:, :2], anchors[:, 2:], atol=1e-6)
