"""Comparison: what agrees passes, what does not is named with how far off it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import noise
from ultraface_deploy.agreement.comparison import (
    Comparison,
    LoadedArtifact,
    Reference,
    compare_with_original,
)
from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.artifacts.verify import require_passed
from ultraface_deploy.backends import Outputs, Session
from ultraface_deploy.errors import BackendError, CheckFailed, InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import encode, make_anchors

SPEC = ModelSpec("net", "slim", 64, 64, head="decoded")
Box = tuple[float, float, float, float]
LEFT: Box = (0.1, 0.1, 0.3, 0.3)
RIGHT: Box = (0.6, 0.6, 0.9, 0.9)


class Fixed(Session):
    """A network that sees certain faces wherever it looks: anchor -> (score, corners)."""

    def __init__(self, *faces: tuple[float, Box], spec: ModelSpec = SPEC) -> None:
        super().__init__(spec)
        self.scores = np.tile(np.array([1, 0], np.float32), (1, spec.num_anchors, 1))
        self.boxes = np.full((1, spec.num_anchors, 4), 0.5, np.float32)
        for anchor, (score, corners) in enumerate(faces):
            self.scores[0, anchor] = 1 - score, score
            self.boxes[0, anchor] = corners
        if spec.head == "raw":
            self.boxes = encode(self.boxes[0], make_anchors(spec), 0.1, 0.2)[None]

    def _run(self, tensor: np.ndarray) -> Outputs:
        return {"scores": self.scores, "boxes": self.boxes}


def judge(
    reference: Session, candidate: Session, tolerance: Tolerance, images: int = 1
) -> Comparison:
    return compare_with_original(
        Reference("torch", reference),
        [LoadedArtifact("net", "fake", candidate, tolerance)],
        [noise(64, 64)] * images,
    )[0]


LOOSE = Tolerance(None, None)
TIGHT = Tolerance(1e-4, 1e-4)


def test_same_outputs_pass() -> None:
    result = judge(Fixed((0.9, LEFT)), Fixed((0.9, LEFT)), TIGHT, images=3)
    assert result.passed
    assert result.reason is None
    assert (result.max_abs_scores, result.max_abs_boxes, result.cosine) == (0, 0, pytest.approx(1))
    assert (result.recall, result.precision, result.mean_iou) == (1, 1, pytest.approx(1))
    assert (result.detections, result.reference_detections, result.images) == (3, 3, 3)


def test_differences_are_measured_and_named() -> None:
    moved = (0.1, 0.1, 0.3, 0.303)
    result = judge(Fixed((0.9, LEFT)), Fixed((0.88, moved)), TIGHT)
    assert not result.passed
    assert result.max_abs_scores == pytest.approx(0.02, abs=1e-6)
    assert result.max_abs_boxes == pytest.approx(0.003, abs=1e-6)
    assert result.mean_iou == pytest.approx(0.2 / 0.203, rel=1e-4)
    assert "scores differ by 0.02, allowed 0.0001" in (result.reason or "")
    assert "boxes differ by 0.003" in (result.reason or "")
    with pytest.raises(CheckFailed, match=r"net on fake .* scores differ by 0\.02"):
        require_passed(result)


def test_a_network_that_finds_faces_everywhere_is_asked_whether_it_is_trained() -> None:
    lost = replace(judge(Fixed((0.9, LEFT)), Fixed(), LOOSE), images=7, reference_detections=644)
    with pytest.raises(CheckFailed, match="finds 644 faces in 7 pictures: is it trained"):
        require_passed(lost)
    with pytest.raises(CheckFailed, match=r"wanted \S+$"):
        require_passed(replace(lost, reference_detections=62))


def test_a_face_lost_and_a_face_invented() -> None:
    lost = judge(Fixed((0.9, LEFT), (0.9, RIGHT)), Fixed((0.9, LEFT)), LOOSE)
    assert (lost.recall, lost.precision, lost.passed) == (0.5, 1.0, False)
    assert "recall 0.500" in (lost.reason or "")
    invented = judge(Fixed((0.9, LEFT)), Fixed((0.9, LEFT), (0.9, RIGHT)), LOOSE)
    assert (invented.recall, invented.precision, invented.passed) == (1.0, 0.5, False)


def test_shrunken_scores_do_not_pass() -> None:
    """AP does not see them; verification must."""
    result = judge(Fixed((0.9, LEFT)), Fixed((0.4, LEFT)), LOOSE)
    assert (result.recall, result.passed) == (0.0, False)


def test_moved_boxes_do_not_pass() -> None:
    result = judge(Fixed((0.9, LEFT)), Fixed((0.9, (0.12, 0.12, 0.32, 0.32))), LOOSE)
    assert result.recall == 1.0
    assert not result.passed
    assert "mean IoU" in (result.reason or "")


def test_face_on_the_threshold_is_forgiven_within_the_tolerance() -> None:
    reference, candidate = Fixed((0.5004, LEFT)), Fixed((0.4996, LEFT))
    assert judge(reference, candidate, Tolerance(1e-3, 1e-3)).passed
    assert not judge(reference, candidate, Tolerance(1e-4, 1e-3)).passed


def test_nothing_found_by_either_agrees() -> None:
    result = judge(Fixed(), Fixed(), TIGHT)
    assert result.passed
    assert (result.detections, result.reference_detections) == (0, 0)


def test_other_class_is_another_face() -> None:
    spec = replace(SPEC, num_classes=3)
    sessions = []
    for label in (1, 2):
        session = Fixed(spec=SPEC)
        session.spec = spec
        session.scores = np.tile(np.array([1, 0, 0], np.float32), (1, spec.num_anchors, 1))
        session.scores[0, 0] = np.eye(3, dtype=np.float32)[label]
        session.boxes[0, 0] = LEFT
        sessions.append(session)
    result = judge(sessions[0], sessions[1], LOOSE)
    assert (result.recall, result.precision) == (0, 0)


def test_outputs_that_are_not_finite() -> None:
    broken = Fixed((0.9, LEFT))
    broken.boxes = broken.boxes * np.nan
    result = judge(Fixed((0.9, LEFT)), broken, LOOSE)
    assert not result.passed
    assert "not finite" in (result.reason or "")
    assert result.max_abs_boxes is None


def test_candidate_that_stops_running() -> None:
    class Failing(Fixed):
        def _run(self, tensor: np.ndarray) -> Outputs:
            raise BackendError("the runtime gave up")

    results = compare_with_original(
        Reference("torch", Fixed((0.9, LEFT))),
        [
            LoadedArtifact(n, "fake", s, TIGHT)
            for n, s in (("a", Failing()), ("b", Fixed((0.9, LEFT))))
        ],
        [noise(64, 64)],
    )
    assert [result.passed for result in results] == [False, True]
    assert results[0].reason == "the runtime gave up"


def test_no_images() -> None:
    with pytest.raises(InputError, match="no images to compare on"):
        judge(Fixed(), Fixed(), TIGHT, images=0)


def test_images_are_read_one_at_a_time() -> None:
    alive: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number in range(5):
            alive.append(number)
            yield noise(64, 64, number)

    result = compare_with_original(
        Reference("torch", Fixed()), [LoadedArtifact("n", "f", Fixed(), TIGHT)] * 3, images()
    )
    assert alive == list(range(5))
    assert [r.images for r in result] == [5, 5, 5]
