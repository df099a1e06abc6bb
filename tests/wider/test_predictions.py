"""Predictions in the official text format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ultraface_deploy.errors import InputError
from ultraface_deploy.wider import read_predictions, write_predictions
from ultraface_deploy.wider.predictions import format_predictions, predictions_path, read_file


def test_the_format_is_the_official_one() -> None:
    boxes = np.array([[10, 20, 40, 60.5]], dtype=np.float32)
    text = format_predictions("a", (boxes, np.array([0.5], dtype=np.float32)))
    assert text == "a\n1\n10 20 30 40.5 0.5\n"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays(np.float32, (7, 4), elements=st.floats(0, 4000, width=32)))
def test_written_predictions_are_read_back(tmp_path: Path, sides: np.ndarray) -> None:
    boxes = np.hstack([sides[:, :2], sides[:, :2] + sides[:, 2:]])
    scores = np.linspace(1, 0, 7, dtype=np.float32)
    write_predictions(tmp_path, "event/image", (boxes, scores))
    found, values = read_predictions(tmp_path, ["event/image"])["event/image"]
    np.testing.assert_allclose(found, boxes, rtol=1e-7, atol=1e-5)
    np.testing.assert_array_equal(values.astype(np.float32), scores)


def test_no_predictions_are_written_and_read(tmp_path: Path) -> None:
    write_predictions(tmp_path, "event/image", (np.empty((0, 4)), np.empty(0)))
    boxes, scores = read_predictions(tmp_path, ["event/image"])["event/image"]
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_broken_boxes_are_read_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a.jpg\n2\nnan 1 2 3 0.5\n10 10 -5 4 0.25\n")
    boxes, scores = read_file(tmp_path / "a.txt")
    assert np.isnan(boxes[0, 0]) and boxes[1].tolist() == [10, 10, 5, 14]
    assert scores.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("a\n", "expected a name"),
        ("a\nx\n", "expected a name"),
        ("a\n1\n1 2 3 4\n", "expected a name"),
        ("a\n2\n1 2 3 4 5 6 7 8 9 10\n", "expected a name"),
        ("a\n1\n1 2 3 4 face\n", "expected a name"),
        ("a\n2\n1 2 3 4 0.5\n", "announces 2 predictions and holds 1"),
        ("\x89PNG\udcff", "expected a name"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=problem):
        read_file(path)


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"image\.txt"):
        read_predictions(tmp_path, ["event/image"])


@pytest.mark.parametrize("name", ["../image", "/image", "event/../../image"])
def test_names_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out"):
        predictions_path(tmp_path, name)
