"""The input tensor against the step-by-step recipe of training, bit for bit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import noise
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess


def step_by_step(bgr: np.ndarray, spec: ModelSpec) -> np.ndarray:
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    resized = cv2.resize(rgb, (spec.width, spec.height))
    normalised = (resized.astype(np.float32) - np.float32(127)) / np.float32(128)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


@given(
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    target=st.sampled_from([(320, 240), (640, 480), (64, 64), (130, 99)]),
    seed=st.integers(0, 1000),
)
def test_bit_for_bit(size: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    spec = ModelSpec("net", "slim", *target)
    image = noise(*size, seed)
    tensor = preprocess(image, spec)
    assert tensor.dtype == np.float32
    assert tensor.shape == spec.input_shape
    np.testing.assert_array_equal(tensor, step_by_step(image, spec))


def test_bit_for_bit_on_photographs(photos: list[Path]) -> None:
    spec = ModelSpec("net", "slim")
    for path in photos[::6]:
        image = cv2.imread(str(path))
        np.testing.assert_array_equal(preprocess(image, spec), step_by_step(image, spec))


def test_colour_order_and_range() -> None:
    blue = np.zeros((10, 10, 3), np.uint8)
    blue[..., 0] = 255
    tensor = preprocess(blue, ModelSpec("net", "slim", 64, 64))
    assert np.unique(tensor[0, 2]) == [1.0]
    assert np.unique(tensor[0, :2]) == pytest.approx([-127 / 128])


def test_mean_and_std_come_from_the_spec() -> None:
    spec = ModelSpec("net", "slim", 64, 64, mean=(1, 2, 3), std=(2, 2, 2))
    tensor = preprocess(np.full((9, 9, 3), 11, np.uint8), spec)
    assert [tensor[0, channel].max() for channel in range(3)] == [5.0, 4.5, 4.0]


def test_slices_and_flipped_views() -> None:
    spec = ModelSpec("net", "slim", 64, 64)
    image = noise(100, 80)
    view = image[::-1, 10:90]
    np.testing.assert_array_equal(
        preprocess(view, spec), step_by_step(np.ascontiguousarray(view), spec)
    )
