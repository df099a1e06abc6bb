"""Counts and curves against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ultraface_deploy.wider.tally import Tally, average_precision, precision_recall


def made(**changes: object) -> Tally:
    """Two images, three bins, one set: a hit first, then an alarm, then a hit; four faces."""
    fields = {
        "sets": ("hard",),
        "names": ("a", "b"),
        "bins": 3,
        "image": np.array([0, 1, 1]),
        "bin": np.array([0, 1, 2]),
        "hits": np.array([[1, 0, 1]]),
        "alarms": np.array([[0, 1, 0]]),
        "faces": np.array([[1, 3]]),
    }
    return Tally(**(fields | changes))  # type: ignore[arg-type]


def test_precision_and_recall_run_from_the_best_score_down() -> None:
    curve = made().curve("hard")
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 4, 1 / 4, 2 / 4])
    assert curve.ap == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3)


def test_a_weight_of_zero_takes_an_image_out_and_two_counts_it_twice() -> None:
    alone = made().curve("hard", np.array([1, 0]))
    assert (alone.ap, alone.recall[-1]) == (1, 1)
    twice = made().curve("hard", np.array([1, 2]))
    np.testing.assert_allclose(twice.recall, [1 / 7, 1 / 7, 3 / 7])


def test_the_envelope_takes_the_best_precision_beyond() -> None:
    assert average_precision(np.array([0.2, 1.0]), np.array([0.5, 1.0])) == 1.0


def test_no_faces_have_no_recall_and_nothing_predicted_no_precision() -> None:
    precision, recall = precision_recall(np.zeros(2), np.zeros(2), 0)
    assert precision.tolist() == [0, 0] and np.isnan(recall).all()
    assert math.isnan(made(faces=np.array([[0, 0]])).curve("hard").ap)
