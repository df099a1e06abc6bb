"""The three kinds of NMS against literal re-tellings of the published demos."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import nms
from ultraface_deploy.pipeline.nms import parse_nms

Found = list[tuple[list[float], float]]


def overlap(a: list[float], b: list[float], pixel: float = 0.0) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + pixel)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + pixel)
    areas = [(x[2] - x[0] + pixel) * (x[3] - x[1] + pixel) for x in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


def literal_hard(rows: Found, threshold: float) -> Found:
    """Take the best box, drop what overlaps it, start over."""
    rows, kept = sorted(rows, key=lambda row: -row[1]), []
    while rows:
        best, *rows = rows
        kept.append(best)
        rows = [row for row in rows if overlap(best[0], row[0]) <= threshold]
    return kept


def literal_soft(rows: Found, score_threshold: float, sigma: float) -> Found:
    """Take the best box, lower the scores of the others by how much they overlap it."""
    kept = []
    rows = sorted(rows, key=lambda row: -row[1])
    while rows:
        best = max(rows, key=lambda row: row[1])
        rows.remove(best)
        kept.append(best)
        lowered = [
            (box, score * math.exp(-(overlap(best[0], box) ** 2) / sigma)) for box, score in rows
        ]
        rows = [row for row in lowered if row[1] > score_threshold]
    return kept


def literal_blend(rows: Found, threshold: float) -> Found:
    """Average each cluster with weights exp(score), clusters around the best box left."""
    rows, kept = sorted(rows, key=lambda row: -row[1]), []
    while rows:
        best, *rest = rows
        cluster = [best] + [row for row in rest if overlap(best[0], row[0], 1.0) > threshold]
        rows = [row for row in rest if overlap(best[0], row[0], 1.0) <= threshold]
        total = sum(math.exp(score) for _, score in cluster)
        box = [
            sum(math.exp(score) * box[side] for box, score in cluster) / total for side in range(4)
        ]
        kept.append((box, sum(math.exp(score) * score for _, score in cluster) / total))
    return sorted(kept, key=lambda row: -row[1])


def as_arrays(rows: Found) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.array([box for box, _ in rows], dtype=np.float64).reshape(-1, 4)
    return boxes, np.array([score for _, score in rows], dtype=np.float64)


# Coarse coordinates make overlaps that are exactly equal, contained, touching or apart; scores are
# all different, so that the order is not left to a sort.
@st.composite
def candidates(draw: st.DrawFn) -> Found:
    corner, side = st.integers(0, 12), st.integers(1, 8)
    shapes = draw(st.lists(st.tuples(corner, corner, side, side), max_size=12))
    scores = draw(
        st.lists(st.integers(1, 999), min_size=len(shapes), max_size=len(shapes), unique=True)
    )
    return [
        ([5.0 * x, 5.0 * y, 5.0 * (x + w), 5.0 * (y + h)], score / 1000)
        for (x, y, w, h), score in zip(shapes, scores, strict=True)
    ]


# Thresholds that no ratio of these small integers hits, so that rounding decides nothing.
THRESHOLDS = st.sampled_from([0.1234567, 0.3000001, 0.5000001, 0.7654321])


def assert_same(found: tuple[np.ndarray, np.ndarray], expected: Found) -> None:
    boxes, scores = as_arrays(expected)
    np.testing.assert_allclose(found[1], scores, rtol=1e-9)
    np.testing.assert_allclose(found[0], boxes, rtol=1e-9)


@given(rows=candidates(), threshold=THRESHOLDS)
def test_hard_equals_the_literal_loop(rows: Found, threshold: float) -> None:
    found = nms(*as_arrays(rows), kind="hard", iou_threshold=threshold)
    assert_same(found, literal_hard(rows, threshold))


@given(
    rows=candidates(), lowest=st.sampled_from([0.0, 0.2512345]), sigma=st.sampled_from([0.3, 0.5])
)
def test_soft_equals_the_literal_loop(rows: Found, lowest: float, sigma: float) -> None:
    found = nms(*as_arrays(rows), kind="soft", score_threshold=lowest, sigma=sigma)
    expected = literal_soft(rows, lowest, sigma)
    # Two lowered scores can come out equal up to rounding; then either may be first.
    order = np.lexsort((*found[0].T, -found[1].round(9)))
    rows_in_order = sorted(expected, key=lambda row: (-round(row[1], 9), *reversed(row[0])))
    assert_same((found[0][order], found[1][order]), rows_in_order)


@given(rows=candidates(), threshold=THRESHOLDS)
def test_blend_equals_the_literal_loop(rows: Found, threshold: float) -> None:
    found = nms(*as_arrays(rows), kind="blend", iou_threshold=threshold)
    expected = literal_blend(rows, threshold)
    np.testing.assert_allclose(found[1], as_arrays(expected)[1], rtol=1e-9)
    order = np.lexsort((*found[0].round(6).T, -found[1].round(9)))
    rows_in_order = sorted(
        expected, key=lambda row: (-round(row[1], 9), *reversed([round(v, 6) for v in row[0]]))
    )
    assert_same((found[0][order], found[1][order]), rows_in_order)


@given(rows=candidates(), threshold=THRESHOLDS)
def test_nothing_that_hard_keeps_overlaps(rows: Found, threshold: float) -> None:
    boxes, scores = nms(*as_arrays(rows), kind="hard", iou_threshold=threshold)
    kept = boxes.tolist()
    assert (np.diff(scores) <= 0).all()
    assert all(overlap(kept[i], kept[j]) <= threshold for i in range(len(kept)) for j in range(i))
    again = nms(boxes, scores, kind="hard", iou_threshold=threshold)
    np.testing.assert_array_equal(again[0], boxes)


def test_hard_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [1, 0, 11, 10], [0, 6, 10, 16]], np.float32)
    scores = np.array([0.8, 0.7, 0.9, 0.6], np.float32)
    # [2] swallows [0]; [3] overlaps [2] by 36 / 164 = .22
    kept, values = nms(boxes, scores, iou_threshold=0.3)
    np.testing.assert_array_equal(kept, boxes[[2, 1, 3]])
    np.testing.assert_array_equal(values, scores[[2, 1, 3]])
    assert len(nms(boxes, scores, iou_threshold=0.2)[1]) == 2


def test_blend_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float64)
    kept, values = nms(boxes, np.array([0.9, 0.9]), kind="blend")
    np.testing.assert_allclose(kept, [[1, 0, 11, 10]])
    np.testing.assert_allclose(values, [0.9])


def test_blend_counts_whole_pixels() -> None:
    # 11 x 11 pixels each, 5 x 11 common: 55 / 187 = .294; without the pixel 40 / 160 = .25
    boxes = np.array([[0, 0, 10, 10], [6, 0, 16, 10]], np.float64)
    assert len(nms(boxes, np.array([0.9, 0.8]), kind="blend", iou_threshold=0.27)[1]) == 1
    assert len(nms(boxes, np.array([0.9, 0.8]), kind="hard", iou_threshold=0.27)[1]) == 2


@pytest.mark.parametrize("kind", ["hard", "soft", "blend"])
def test_nothing_in_nothing_out(kind: str) -> None:
    boxes, scores = nms(np.empty((0, 4)), np.empty(0), kind=parse_nms(kind))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("kind", ["hard", "soft", "blend"])
def test_float32_stays_float32(kind: str) -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    found = nms(boxes, np.array([0.9, 0.8], np.float32), kind=parse_nms(kind))
    assert [part.dtype for part in found] == [np.float32, np.float32]


def test_empty_box_is_its_own_cluster() -> None:
    boxes = np.array([[5, 5, 5, 5], [0, 0, 10, 10]], np.float64)
    assert len(nms(boxes, np.array([0.9, 0.8]))[1]) == 2


@pytest.mark.parametrize("kind", ["hard", "soft", "blend"])
def test_of_equal_scores_the_first_goes_first(kind: str) -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 0, 60, 10], [2, 0, 12, 10]], np.float64)
    scores = np.array([0.9, 0.9, 0.9])
    kept, _ = nms(boxes, scores, kind=parse_nms(kind), score_threshold=0.6)
    first = [1, 0, 11, 10] if kind == "blend" else [0, 0, 10, 10]
    np.testing.assert_allclose(kept, [first, [50, 0, 60, 10]])


def test_an_overlap_at_the_threshold_is_kept() -> None:
    half = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float64)
    scores = np.array([0.9, 0.8])
    assert len(nms(half, scores, kind="hard", iou_threshold=0.5)[1]) == 2
    # With whole pixels counted these are 10 x 10 and 10 x 5.
    assert len(nms(half - [0, 0, 1, 1], scores, kind="blend", iou_threshold=0.5)[1]) == 2


def test_soft_drops_what_falls_to_the_threshold() -> None:
    apart = np.array([[0, 0, 10, 10], [50, 0, 60, 10]], np.float64)
    assert len(nms(apart, np.array([0.9, 0.5]), kind="soft", score_threshold=0.5)[1]) == 1


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match="hard, soft, blend"):
        parse_nms("weighted")
