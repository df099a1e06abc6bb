"""Sizes that make boxes drift off their faces are warned of, others are not."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultraface_deploy.family.sizes import at_size
from ultraface_deploy.family.spec import AnchorSpec, ModelSpec
from ultraface_deploy.pipeline import make_anchors

NET = ModelSpec("slim-320", "slim", 320, 240)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(64, 400), st.integers(64, 400))
def test_the_drift_that_is_told_is_that_of_the_anchors(
    caplog: pytest.LogCaptureFixture, width: int, height: int
) -> None:
    caplog.clear()
    spec = at_size(NET, width, height)
    columns, rows = ceil(width / 8), ceil(height / 8)
    finest = make_anchors(spec)[: columns * rows * 3, :2].reshape(rows, columns, 3, 2)
    # A convolution of stride 2 doubles the pitch exactly, three of them make it 8 pixels.
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) * 8.0 + 4.0
    drift = np.abs(finest[:, :, 0] * [width, height] - cells).max()
    told = [int(n) for n in re.findall(r"up to (\d+) pixels", caplog.text)]
    assert (spec.width, spec.height) == (width, height)
    assert told == ([] if drift < 0.01 else [ceil(drift)])


def test_the_size_advised_is_no_smaller_and_suits(caplog: pytest.LogCaptureFixture) -> None:
    at_size(NET, 320, 180)
    assert caplog.messages == [
        "input size 320x180: 180 is not a multiple of 8, so boxes come to lie up to 4 pixels off "
        "and small faces are lost; 320x192 finds more"
    ]
    caplog.clear()
    at_size(NET, 333, 100)
    assert "333 and 100 are not a multiple of 8" in caplog.text and "336x112" in caplog.text
    caplog.clear()
    at_size(NET, 336, 112)
    assert not caplog.messages


def test_a_network_of_that_size_or_with_other_anchors_is_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    at_size(ModelSpec("own", "slim", 320, 180), 320, 180)
    at_size(replace(NET, anchors=AnchorSpec(centers="stride")), 320, 180)
    assert not caplog.messages
