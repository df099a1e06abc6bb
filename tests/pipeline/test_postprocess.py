"""From output tensors to faces: by hand, and against a literal re-telling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import PostprocessOptions, encode, make_anchors, nms, postprocess

SPEC = ModelSpec("net", "slim", 64, 64)
COUNT = SPEC.num_anchors
DECODED = replace(SPEC, head="decoded")


def outputs(
    faces: dict[int, tuple[float, tuple[float, float, float, float]]], head: str = "decoded"
) -> tuple[np.ndarray, np.ndarray]:
    """Tensors of a network that sees only these faces: anchor -> (score, corners in 0..1)."""
    scores = np.tile(np.array([1, 0], np.float32), (1, COUNT, 1))
    boxes = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (1, COUNT, 1))
    for anchor, (score, corners) in faces.items():
        scores[0, anchor] = 1 - score, score
        boxes[0, anchor] = corners
    if head != "decoded":
        boxes = encode(boxes[0], make_anchors(SPEC), 0.1, 0.2)[None].astype(np.float32)
    return scores, boxes


@pytest.mark.parametrize("head", ["raw", "conv", "decoded"])
def test_two_faces_by_hand(head: str) -> None:
    near, far = (0.1, 0.2, 0.3, 0.6), (0.5, 0.5, 0.9, 1.1)
    scores, boxes = outputs({5: (0.7, near), 6: (0.6, near), 200: (0.95, far)}, head)
    faces = postprocess(scores, boxes, replace(SPEC, head=head), (1000, 500))  # type: ignore[arg-type]
    np.testing.assert_allclose(faces.boxes, [[500, 250, 900, 550], [100, 100, 300, 300]], rtol=1e-4)
    np.testing.assert_allclose(faces.scores, [0.95, 0.7], rtol=1e-6)
    np.testing.assert_array_equal(faces.labels, [1, 1])
    assert len(faces) == 2
    assert [faces.boxes.dtype, faces.scores.dtype, faces.labels.dtype] == ["f4", "f4", "i8"]


def test_nothing_found() -> None:
    faces = postprocess(*outputs({}), DECODED, (100, 100))
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)


def test_threshold_is_exclusive_and_adjustable() -> None:
    tensors = outputs({3: (0.5, (0, 0, 0.5, 0.5))})
    assert len(postprocess(*tensors, DECODED, (9, 9))) == 0
    low = PostprocessOptions(score_threshold=0.499)
    assert len(postprocess(*tensors, DECODED, (9, 9), low)) == 1


def test_candidates_are_the_best() -> None:
    apart = {k: (0.51 + k / 1000, (k / 50, 0, k / 50 + 0.01, 1)) for k in range(40)}
    options = PostprocessOptions(candidates=10)
    faces = postprocess(*outputs(apart), DECODED, (1, 1), options)
    np.testing.assert_allclose(faces.scores, [0.51 + k / 1000 for k in range(39, 29, -1)])


def test_of_equal_scores_the_first_anchors_enter() -> None:
    apart = {k: (0.75, (k / 50, 0, k / 50 + 0.01, 1)) for k in range(40)}
    options = PostprocessOptions(candidates=10)
    faces = postprocess(*outputs(apart), DECODED, (1, 1), options)
    np.testing.assert_allclose(faces.boxes[:, 0], [k / 50 for k in range(10)], atol=1e-6)


def test_top_k_comes_after_nms() -> None:
    same = (0.1, 0.1, 0.4, 0.4)
    tensors = outputs({0: (0.9, same), 1: (0.8, same), 2: (0.7, (0.6, 0.6, 0.9, 0.9))})
    faces = postprocess(*tensors, DECODED, (1, 1), PostprocessOptions(top_k=2))
    np.testing.assert_allclose(faces.scores, [0.9, 0.7])
    assert len(postprocess(*tensors, DECODED, (1, 1), PostprocessOptions(top_k=1))) == 1


def test_classes_do_not_suppress_each_other() -> None:
    spec = replace(DECODED, num_classes=3)
    scores = np.tile(np.array([1, 0, 0], np.float32), (1, COUNT, 1))
    boxes = np.tile(np.array([0.2, 0.2, 0.4, 0.4], np.float32), (1, COUNT, 1))
    scores[0, 10], scores[0, 11] = (0.1, 0.9, 0.0), (0.3, 0.1, 0.6)
    faces = postprocess(scores, boxes, spec, (10, 10))
    np.testing.assert_array_equal(faces.labels, [1, 2])
    np.testing.assert_allclose(faces.scores, [0.9, 0.6])


@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["hard", "soft", "blend"]),
    threshold=st.sampled_from([0.02, 0.5, 0.9]),
    candidates=st.sampled_from([1, 20, 200, 5000]),
)
def test_equals_the_literal_order_of_steps(
    seed: int, kind: str, threshold: float, candidates: int
) -> None:
    """Decode everything, then filter, sort, cut, scale and suppress."""
    generator = np.random.default_rng(seed)
    face = generator.uniform(0, 1, COUNT).astype(np.float32)
    scores = np.stack([1 - face, face], axis=1)[None]
    boxes = generator.normal(0, 1, (1, COUNT, 4)).astype(np.float32)
    options = PostprocessOptions(threshold, 0.3, kind, candidates)  # type: ignore[arg-type]
    faces = postprocess(scores, boxes, SPEC, (640, 360), options)

    anchors = make_anchors(SPEC)
    centers = boxes[0, :, :2] * np.float32(0.1) * anchors[:, 2:] + anchors[:, :2]
    sizes = np.exp(boxes[0, :, 2:] * np.float32(0.2)) * anchors[:, 2:]
    corners = np.hstack([centers - sizes / 2, centers + sizes / 2]) * [640, 360, 640, 360]
    order = [k for k in np.argsort(-face, kind="stable") if face[k] > threshold][:candidates]
    expected = nms(
        corners[order],
        face[order],
        kind=options.nms,
        iou_threshold=0.3,
        score_threshold=threshold,
    )
    np.testing.assert_allclose(faces.scores, expected[1], rtol=1e-4)
    np.testing.assert_allclose(faces.boxes, expected[0], rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("name", ["score_threshold", "iou_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_thresholds_are_shares(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"`{name}` .*: give 0 to 1"):
        PostprocessOptions(**{name: value})


@pytest.mark.parametrize("name", ["candidates", "top_k"])
@pytest.mark.parametrize("value", [0, -1])
def test_counts_are_counts(name: str, value: int) -> None:
    with pytest.raises(InputError, match=f"`{name}` {value}: give 1 or more"):
        PostprocessOptions(**{name: value})


def test_a_kind_of_nms_that_there_is_not() -> None:
    with pytest.raises(InputError, match="`nms` Soft: unknown; choose from hard, soft, blend"):
        PostprocessOptions(nms="Soft")  # type: ignore[arg-type]
