"""Box coding and overlaps: by hand, against literal loops, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import decode, encode, iou, iou_matrix, make_anchors

ANCHORS = make_anchors(ModelSpec("net", "slim")).astype(np.float64)


def literal_iou(a: np.ndarray, b: np.ndarray, pixel: float) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + pixel
    height = min(a[3], b[3]) - max(a[1], b[1]) + pixel
    overlap = max(0.0, width) * max(0.0, height)
    areas = [max(0.0, x[2] - x[0] + pixel) * max(0.0, x[3] - x[1] + pixel) for x in (a, b)]
    union = sum(areas) - overlap
    return overlap / union if union > 0 else 0.0


def boxes_of(count: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    corner = st.floats(0, 200, width=32)
    box = st.tuples(corner, corner, st.floats(0, 80, width=32), st.floats(0, 80, width=32))
    return count.flatmap(lambda n: st.lists(box, min_size=n, max_size=n)).map(
        lambda rows: np.array(
            [(x, y, x + w, y + h) for x, y, w, h in rows], dtype=np.float64
        ).reshape(-1, 4)
    )


def test_decode_by_hand() -> None:
    anchors = np.array([[0.5, 0.25, 0.2, 0.4]])
    offsets = np.array([[1.0, -2.0, np.log(2) / 0.2, 0.0]])
    # centre .5 + 1 * .1 * .2 = .52, .25 - 2 * .1 * .4 = .17; width .4, height .4
    np.testing.assert_allclose(decode(offsets, anchors, 0.1, 0.2), [[0.32, -0.03, 0.72, 0.37]])


def test_zero_offsets_are_the_anchors() -> None:
    decoded = decode(np.zeros((4420, 4)), ANCHORS, 0.1, 0.2)
    np.testing.assert_allclose((decoded[:, :2] + decoded[:, 2:]) / 2, ANCHORS[:, :2], atol=1e-12)
    np.testing.assert_allclose(decoded[:, 2:] - decoded[:, :2], ANCHORS[:, 2:], atol=1e-12)


@given(
    offsets=arrays(np.float64, (8, 4), elements=st.floats(-20, 20)),
    first=st.integers(0, 4420 - 8),
    center_variance=st.floats(0.05, 1),
    size_variance=st.floats(0.05, 1),
)
def test_encode_inverts_decode(
    offsets: np.ndarray, first: int, center_variance: float, size_variance: float
) -> None:
    anchors = ANCHORS[first : first + 8]
    # Boxes a million times their anchor wide lose their centre to rounding.
    offsets[:, 2:] *= min(1.0, 0.3 / size_variance)
    boxes = decode(offsets, anchors, center_variance, size_variance)
    again = encode(boxes, anchors, center_variance, size_variance)
    np.testing.assert_allclose(again, offsets, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "pixel", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 0, 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 0, 50 / 150),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0, 0.0),
        ((0, 0, 10, 10), (2, 2, 4, 7), 0, 10 / 100),
        ((0, 0, 9, 9), (5, 0, 14, 9), 1, 50 / 150),
        ((0, 0, 9, 9), (9, 0, 18, 9), 1, 10 / 190),
        ((3, 3, 3, 3), (3, 3, 3, 3), 0, 0.0),
        ((5, 5, 2, 9), (0, 0, 10, 10), 0, 0.0),
    ],
)
def test_overlaps_by_hand(
    first: tuple[int, ...], second: tuple[int, ...], pixel: float, expected: float
) -> None:
    a, b = np.array(first, dtype=float), np.array([second], dtype=float)
    assert iou(a, b, pixel)[0] == pytest.approx(expected)


@given(
    first=boxes_of(st.integers(0, 6)),
    second=boxes_of(st.integers(0, 6)),
    pixel=st.sampled_from([0.0, 1.0]),
)
def test_matrix_equals_literal_loop(first: np.ndarray, second: np.ndarray, pixel: float) -> None:
    expected = [[literal_iou(a, b, pixel) for b in second] for a in first]
    found = iou_matrix(first, second, pixel)
    assert found.shape == (len(first), len(second))
    np.testing.assert_allclose(found, np.reshape(expected, found.shape), rtol=1e-9, atol=1e-12)


@given(boxes=boxes_of(st.integers(1, 6)), scale=st.floats(0.5, 50))
def test_overlap_is_symmetric_bounded_and_free_of_scale(boxes: np.ndarray, scale: float) -> None:
    overlaps = iou_matrix(boxes, boxes)
    np.testing.assert_array_equal(overlaps, overlaps.T)
    assert ((overlaps >= 0) & (overlaps <= 1 + 1e-12)).all()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    np.testing.assert_allclose(np.diag(overlaps)[areas > 1e-6], 1)
    if (areas > 1e-3).all():
        np.testing.assert_allclose(iou_matrix(boxes * scale, boxes * scale), overlaps, atol=1e-6)
