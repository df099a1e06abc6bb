"""The resize in NumPy gives OpenCV's bits."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import noise
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.preprocess import preprocess
from ultraface_deploy.pipeline.resample import resize
from ultraface_deploy.safe import opencv

SIDES = st.integers(1, 200)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.integers(0, 9))
def test_any_size_to_any_size(source: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    image = noise(*source, seed)
    np.testing.assert_array_equal(resize(image, target), cv2.resize(image, target))


@pytest.mark.parametrize("source", [(1024, 609), (640, 480), (320, 240), (100, 80), (4000, 3)])
def test_sizes_of_cameras(source: tuple[int, int]) -> None:
    image = noise(*source)
    np.testing.assert_array_equal(resize(image, (320, 240)), cv2.resize(image, (320, 240)))


def test_a_part_of_a_picture() -> None:
    image = noise(300, 200)[20:150, 31:270]
    np.testing.assert_array_equal(resize(image, (64, 96)), cv2.resize(image, (64, 96)))


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("net", "slim"),
        ModelSpec("net", "rfb", 640, 480),
        ModelSpec("net", "slim", mean=(104, 117, 123), std=(1, 1, 1), color="bgr"),
    ],
    ids=["published", "larger", "landmarks"],
)
def test_the_tensor_is_the_same(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(417, 333)
    expected = preprocess(image, spec)
    monkeypatch.setattr(opencv, "cv2", opencv.Missing())
    monkeypatch.setattr(sys.modules[preprocess.__module__], "cv2", opencv.Missing())
    found = preprocess(image, spec)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)
