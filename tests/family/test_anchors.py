"""Anchors against the loop that the networks were trained with."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.family.spec import AnchorSpec, ModelSpec
from ultraface_deploy.pipeline import make_anchors


def spec(width: int, height: int, anchors: AnchorSpec | None = None) -> ModelSpec:
    return ModelSpec("net", "slim", width, height, anchors=anchors or AnchorSpec())


def literal_anchors(network: ModelSpec) -> np.ndarray:
    """The training loop, cell by cell."""
    anchors = []
    for stride, sides in zip(network.anchors.strides, network.anchors.min_boxes, strict=True):
        columns, rows = math.ceil(network.width / stride), math.ceil(network.height / stride)
        for row in range(rows):
            for column in range(columns):
                for side in sides:
                    anchors.append(
                        (
                            (column + 0.5) / columns,
                            (row + 0.5) / rows,
                            side / network.width,
                            side / network.height,
                        )
                    )
    return np.clip(np.array(anchors), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "count"), [((320, 240), 4420), ((640, 480), 17640), ((128, 96), 708), ((64, 64), 235)]
)
def test_number_of_anchors(size: tuple[int, int], count: int) -> None:
    assert spec(*size).num_anchors == count
    assert make_anchors(spec(*size)).shape == (count, 4)


def test_feature_maps_of_the_usual_sizes() -> None:
    assert spec(640, 480).feature_maps == ((80, 60), (40, 30), (20, 15), (10, 8))
    assert spec(320, 240).feature_maps == ((40, 30), (20, 15), (10, 8), (5, 4))


def test_centres_are_those_of_training_not_of_the_demos() -> None:
    # 240 is not a multiple of 32 or 64: there the demos' `(j + 0.5) * stride / H` is elsewhere.
    anchors = make_anchors(spec(320, 240))
    third = anchors[40 * 30 * 3 + 20 * 15 * 2 :][: 10 * 8 * 2]
    np.testing.assert_allclose(np.unique(third[:, 1]), (np.arange(8) + 0.5) / 8)
    last = anchors[-5 * 4 * 3 :]
    np.testing.assert_allclose(np.unique(last[:, 1]), [0.125, 0.375, 0.625, 0.875])
    demo_rows = np.concatenate(
        [
            np.repeat((np.arange(rows) + 0.5) * stride / 240, columns * len(sides))
            for (columns, rows), stride, sides in zip(
                spec(320, 240).feature_maps,
                AnchorSpec().strides,
                AnchorSpec().min_boxes,
                strict=True,
            )
        ]
    )
    differing = np.abs(anchors[:, 1] - demo_rows) > 1e-6
    assert differing.sum() == 220
    assert np.abs(anchors[:, 1] - demo_rows).max() * 240 == pytest.approx(14, abs=1.1)


def test_first_anchors_by_hand() -> None:
    anchors = make_anchors(spec(320, 240))
    centre = (0.5 / 40, 0.5 / 30)
    expected = [(*centre, side / 320, side / 240) for side in (10, 16, 24)]
    np.testing.assert_allclose(anchors[:3], expected, rtol=1e-6)
    # Sides beyond the input are clipped to it.
    np.testing.assert_allclose(anchors[-1], (0.9, 0.875, 256 / 320, 1.0), rtol=1e-6)


@given(width=st.integers(64, 700), height=st.integers(64, 700))
def test_any_size_equals_the_training_loop(width: int, height: int) -> None:
    network = spec(width, height)
    # A multiplication by a reciprocal may differ from a division in the last bit.
    np.testing.assert_allclose(
        make_anchors(network), literal_anchors(network), rtol=2e-7, atol=1e-9
    )


def test_other_anchor_layouts() -> None:
    network = spec(100, 80, AnchorSpec(strides=(16, 32), min_boxes=((20,), (40, 60, 90))))
    np.testing.assert_allclose(make_anchors(network), literal_anchors(network), rtol=2e-7)


def test_shared_array_cannot_be_written() -> None:
    anchors = make_anchors(spec(320, 240))
    assert make_anchors(spec(320, 240)) is anchors
    with pytest.raises(ValueError, match="read-only"):
        anchors[0] = 0
