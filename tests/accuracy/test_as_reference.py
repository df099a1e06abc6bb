"""Eval counts the same faces as verify does; AP alone does not see shrunken scores."""

from __future__ import annotations

import numpy as np
import pytest

from ultraface_deploy.accuracy.as_reference import agreement

BOX = (10.0, 10.0, 50.0, 50.0)
NEAR = (12.0, 10.0, 52.0, 50.0)
FAR = (200.0, 200.0, 240.0, 240.0)


def test_eval_counts_as_verify_does() -> None:
    """One box found twice was 1.0 there when the others said .667."""
    twice = (np.array([BOX, NEAR]), np.array([0.9, 0.8]))
    once = (np.array([BOX]), np.array([0.9]))
    assert agreement({"a": once}, {"a": twice}, "ref")["f1"] == pytest.approx(2 / 3)
    assert agreement({"a": twice}, {"a": once}, "ref")["recall"] == 0.5


def test_eval_looks_at_scores_from_a_half_and_finite_boxes() -> None:
    wanted = (np.array([BOX, FAR]), np.array([0.9, 0.49]))
    had = (np.array([[np.nan] * 4, NEAR]), np.array([0.95, 0.5]))
    assert agreement({"a": wanted}, {"a": had}, "ref") == {
        "reference": "ref",
        "recall": 1.0,
        "precision": 1.0,
        "f1": 1.0,
    }


def test_agreement_sees_scores_that_shrank() -> None:
    boxes = np.array([[0, 0, 20, 20], [50, 0, 70, 20.0]])
    reference = {"a": (boxes, np.array([0.9, 0.8]))}
    assert agreement(reference, reference, "r")["f1"] == 1
    one_left = agreement(reference, {"a": (boxes, np.array([0.6, 0.4]))}, "r")
    assert (one_left["recall"], one_left["precision"]) == (0.5, 1)
    assert agreement(reference, {"a": (boxes, np.array([0.09, 0.08]))}, "r")["f1"] == 0
