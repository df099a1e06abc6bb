from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ultraface_deploy.quantize.ranges import (
    METHODS,
    Histogram,
    Method,
    least_squares,
    percentile,
)

counts = arrays(np.int64, 256, elements=st.integers(0, 1000)).filter(lambda c: c.sum() > 0)


@given(counts=counts, low=st.floats(-10, 0), width=st.floats(0.01, 100))
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_ranges_are_ordered_and_hardly_beyond_what_was_seen(
    method: Method, counts: np.ndarray, low: float, width: float
) -> None:
    histogram = Histogram(low, low + width, counts)
    found_low, found_high = method.find(histogram)
    assert found_low <= found_high
    extent = max(abs(low), abs(low + width))
    assert abs(found_low) <= extent * 1.01
    assert abs(found_high) <= extent * 1.01


def test_percentile_cuts_the_tail_alone() -> None:
    counts = np.zeros(100, np.int64)
    counts[:50], counts[99] = 100, 1
    low, high = percentile(0.999)(Histogram(0.0, 100.0, counts))
    assert (low, high) == (0.0, 50.0)
    assert percentile(1.0)(Histogram(0.0, 100.0, counts)) == (0.0, 100.0)


def test_least_squares_beats_min_max_on_a_long_tail() -> None:
    values = np.abs(np.random.default_rng(0).normal(size=100_000))
    values[:10] = 20.0
    counts, edges = np.histogram(values, 4096, (0, values.max()))
    high = least_squares(15, symmetric=False)(Histogram(0.0, edges[-1], counts))[1]

    def error(top: float) -> float:
        step = top / 15
        return float(np.square(values - np.clip(np.round(values / step) * step, 0, top)).sum())

    assert high < values.max() / 2
    assert error(high) < error(values.max()) / 2
