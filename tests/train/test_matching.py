"""Assignment of faces to anchors on cases worked by hand."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import decode, iou_matrix, make_anchors
from ultraface_deploy.train.matching import (
    BACKGROUND,
    FACE,
    IGNORE,
    Anchors,
    FaceList,
    match,
    visible_faces,
)

SPEC = ModelSpec("slim-320", "slim")
SIZE = np.float32([320, 240, 320, 240])
ANCHORS = Anchors(SPEC)


def boxes(*pixels: tuple[float, float, float, float]) -> np.ndarray:
    return np.float32(pixels).reshape(-1, 4) / SIZE


def assigned(faces: np.ndarray, *, ignored: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Labels (A,) and offsets (A, 4) of one sample."""
    skip = torch.zeros(len(faces), dtype=torch.bool)
    skip[list(ignored)] = True
    sample = torch.zeros(len(faces), dtype=torch.int64)
    sure = torch.ones(len(faces))
    targets = match(FaceList(torch.from_numpy(faces), sample, skip, sure, sure.long()), 1, ANCHORS)
    return targets.labels[0].numpy(), targets.offsets[0].numpy()


def test_a_face_on_an_anchor_takes_it_with_zero_offsets() -> None:
    # The first anchor of cell (column 5, row 3) of the stride-8 map: centre (44, 28), side 10.
    number = (3 * 40 + 5) * 3
    labels, offsets = assigned(boxes((39, 23, 49, 33)))
    assert labels[number] == FACE
    np.testing.assert_allclose(offsets[number], 0, atol=1e-4)
    # The 16-pixel anchor of the cell has IoU 100 / 256 = 0.39 and takes it too; its sides have
    # to shrink by 10 / 16: log(10 / 16) / 0.2.
    assert labels[number + 1] == FACE
    np.testing.assert_allclose(offsets[number + 1], [0, 0, *[np.log(10 / 16) / 0.2] * 2], atol=1e-4)
    # The 24-pixel anchor has 100 / 576 and does not; the neighbour's 10-pixel anchor has
    # 20 / 180 and does not; its 16-pixel anchor has 50 / 306 and does not.
    assert (labels[[number + 2, number + 3, number + 4]] == BACKGROUND).all()
    assert (labels == FACE).sum() == 2


def test_a_face_too_small_for_the_threshold_still_takes_its_best_anchor() -> None:
    # 4x4 on a 10x10 anchor: IoU 0.16.
    labels, _ = assigned(boxes((42, 26, 46, 30)))
    assert np.flatnonzero(labels).tolist() == [(3 * 40 + 5) * 3]


def test_an_ignored_face_makes_its_anchors_count_as_nothing() -> None:
    labels, _ = assigned(boxes((39, 23, 49, 33)), ignored=(0,))
    assert set(labels) == {IGNORE, BACKGROUND} and (labels == IGNORE).sum() == 2


def test_a_real_face_wins_the_anchor_it_shares_with_an_ignored_one() -> None:
    both = boxes((42, 26, 46, 30), (41, 25, 47, 31))
    for ignored, expected in (((0,), FACE), ((1,), FACE), ((0, 1), IGNORE)):
        labels, _ = assigned(both, ignored=ignored)
        assert labels[(3 * 40 + 5) * 3] == expected


def test_an_image_without_faces_is_all_background() -> None:
    assert not assigned(np.empty((0, 4), np.float32))[0].any()


def test_faces_of_a_batch_stay_in_their_samples() -> None:
    faces = torch.from_numpy(boxes((39, 23, 49, 33), (100, 100, 150, 150), (42, 26, 46, 30)))
    sample, ignored = torch.tensor([0, 2, 2]), torch.zeros(3, dtype=torch.bool)
    together = match(
        FaceList(faces, sample, ignored, torch.ones(3), torch.ones(3).long()), 3, ANCHORS
    )
    assert not together.labels[1].any()
    for row in (0, 2):
        labels, offsets = assigned(faces[sample == row].numpy())
        np.testing.assert_array_equal(together.labels[row], labels)
        taken = labels == FACE
        np.testing.assert_allclose(together.offsets[row][taken], offsets[taken], atol=1e-5)


def test_which_faces_count() -> None:
    placed = torch.tensor(
        [
            [
                [0.2, 0.2, 0.4, 0.4],  # inside
                [-0.1, 0.2, 0.2, 0.4],  # centre inside: counts, clipped
                [-0.2, 0.2, 0.1, 0.4],  # centre outside: seen in part, ignored
                [1.1, 0.2, 1.3, 0.4],  # outside: gone
                [0.5, 0.5, 0.51, 0.52],  # 3.2 x 4.8 pixels: too small, ignored
                [0.2, 0.2, 0.4, 0.4],  # labelled to be ignored
                [0.2, 0.2, 0.4, 0.4],  # no face at all, only room in the table
            ]
        ]
    )
    scores = torch.tensor([[1, 1, 1, 1, 0.5, -1, 0]])
    faces = visible_faces(placed, scores, torch.ones_like(scores).long(), 320, 240, min_face=7)
    torch.testing.assert_close(faces.boxes[1], torch.tensor([0, 0.2, 0.2, 0.4]))
    assert faces.ignored.tolist() == [False, False, True, True, True]
    assert faces.sample.tolist() == [0] * 5
    assert faces.scores.tolist() == [1, 1, 1, 0.5, 1]


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
    labels, offsets = assigned(given_faces)
    taken = labels == FACE
    assert taken.any()
    found = decode(offsets[taken], make_anchors(SPEC)[taken], 0.1, 0.2)
    distance = np.abs(found[:, None] - given_faces[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-4


def test_decoding_turns_encoding_round() -> None:
    corners = torch.rand(2, len(ANCHORS.centers), 4, generator=torch.Generator().manual_seed(2))
    boxes = torch.cat([corners[..., :2], corners[..., :2] + corners[..., 2:] + 0.01], dim=-1)
    torch.testing.assert_close(ANCHORS.decode(ANCHORS.encode(boxes)), boxes, atol=1e-5, rtol=1e-5)
    assert ANCHORS.decode(torch.full((1, len(ANCHORS.centers), 4), 1e30)).isfinite().all()


def test_corner_anchors_are_the_anchors() -> None:
    corners, anchors = ANCHORS.corners.numpy(), make_anchors(SPEC)
    np.testing.assert_allclose((corners[:, :2] + corners[:, 2:]) / 2, anchors[:, :2], atol=1e-6)
    np.testing.assert_allclose(corners[:, 2:] - corners[:, :2], anchors[:, 2:], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(0, 0.7)] * 2, *[st.floats(0.02, 0.3)] * 2))
def test_overlaps_are_those_of_the_pipeline(face: tuple[float, ...]) -> None:
    box = np.float32([[face[0], face[1], face[0] + face[2], face[1] + face[3]]])
    found = ANCHORS.overlaps(torch.from_numpy(box)).numpy()
    np.testing.assert_allclose(found, iou_matrix(box, ANCHORS.corners.numpy()), atol=1e-5)
