"""Breakdowns of a small case that can be counted by hand; see the fixture `matches`."""

from __future__ import annotations

import numpy as np
import pytest

from ultraface_deploy.accuracy import statistics
from ultraface_deploy.wider import Matches, TruthImage, match_images


def image(name: str, boxes: list[list[float]]) -> TruthImage:
    return TruthImage(name, np.array(boxes, np.float64), np.ones((1, len(boxes)), bool))


@pytest.fixture
def matches() -> Matches:
    """Two images: a face 10 px high found at .9, one of 40 px at .6, one of 40 px not at all.

    Besides a double detection at .55, a false alarm at .8 and one at .2.
    """
    truth = [
        image("a", [[0, 0, 10, 10], [100, 0, 140, 40]]),
        image("b", [[0, 0, 40, 40]]),
    ]
    found = {
        "a": (
            np.array([[0, 0, 10, 10], [100, 0, 140, 40], [101, 0, 141, 40.0]]),
            np.array([0.9, 0.6, 0.55]),
        ),
        "b": (np.array([[300, 0, 340, 40], [400, 0, 440, 40.0]]), np.array([0.8, 0.2])),
    }
    return match_images(found, truth, pixel=0)


def test_operating_point(matches: Matches) -> None:
    point = statistics.operating_point(matches, 0, 0.5)
    assert point.recall == pytest.approx(2 / 3)
    assert point.precision == pytest.approx(2 / 4)
    assert point.false_positives_per_image == pytest.approx(2 / 2)


def test_operating_point_above_all_scores_has_no_precision(matches: Matches) -> None:
    point = statistics.operating_point(matches, 0, 0.95)
    assert (point.recall, point.precision, point.false_positives_per_image) == (0, None, 0)


@pytest.mark.parametrize(
    # False alarms stand at .8, .55 and .2; two images.
    ("per_image", "score"),
    [(0.0, 0.9), (0.49, 0.9), (0.5, 0.6), (1.0, 0.55), (1.5, 0.2), (9.0, 0.2)],
)
def test_threshold_for_a_wanted_rate(matches: Matches, per_image: float, score: float) -> None:
    point = statistics.point_for_false_positives(matches, 0, per_image)
    assert point is not None and point.score == score
    assert point.false_positives_per_image is not None
    assert point.false_positives_per_image <= per_image


def test_small_faces_are_told_apart_from_large_ones(matches: Matches) -> None:
    ranges = statistics.by_height(matches, 0, (0.5, 0.7))
    assert [each.faces for each in ranges] == [1, 0, 2, 0, 0, 0]
    assert ranges[0].recall == {"0.5": 1, "0.7": 1}
    assert ranges[1].recall == {"0.5": None, "0.7": None}
    assert ranges[2].recall == {"0.5": 0.5, "0.7": 0}
    assert ranges[2].recall_any == 0.5


def test_calibration_compares_scores_with_precision(matches: Matches) -> None:
    ranges = statistics.calibration(matches, 0)
    assert [each.predictions for each in ranges] == [0, 0, 1, 0, 0, 1, 1, 0, 1, 1]
    assert (ranges[9].mean_score, ranges[9].precision) == (pytest.approx(0.9), 1)
    assert ranges[0].precision is None
    # |.2 - 0|, |.55 - 0|, |.6 - 1|, |.8 - 0|, |.9 - 1| with equal weight.
    assert statistics.expected_calibration_error(ranges) == pytest.approx(2.05 / 5)
