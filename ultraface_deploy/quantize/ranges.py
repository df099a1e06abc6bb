"""From the histogram of a tensor to the range that its 8-bit numbers shall cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
Counts = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """How often a tensor's values fall into equal bins between `low` and `high`."""

    low: float
    high: float
    counts: Counts

    @property
    def centers(self) -> Doubles:
        """The middle of each bin."""
        bins = len(self.counts)
        middles = np.arange(bins, dtype=np.float64) + 0.5
        return self.low + middles * ((self.high - self.low) / bins)


def percentile(share: float) -> Callable[[Histogram], Range]:
    """Return the method that cuts at most `1 - share` of the values from either end."""

    def cut(histogram: Histogram) -> Range:
        below = np.cumsum(histogram.counts)
        tail = (1.0 - share) * below[-1]
        bins = len(histogram.counts)
        first = int(np.searchsorted(below, tail, side="right"))
        last = int(np.searchsorted(below, below[-1] - tail, side="left"))
        width = (histogram.high - histogram.low) / bins
        # An end bin keeps its outer edge: nothing is cut where nothing lies beyond the cut.
        return histogram.low + first * width, histogram.low + (last + 1) * width

    return cut


def least_squares(levels: int, symmetric: bool) -> Callable[[Histogram], Range]:
    """Return the method that minimises the mean squared rounding and clipping error."""

    def best(histogram: Histogram) -> Range:
        values, counts = histogram.centers, histogram.counts.astype(np.float64)
        low, high = histogram.low, histogram.high
        if symmetric:
            high = max(-low, high)
            low = -high if low < 0 else 0.0
        candidates = [(low * share, high * share) for share in np.linspace(0.2, 1.0, 161)]
        errors = [_squared_error(values, counts, c, levels, symmetric) for c in candidates]
        return candidates[int(np.argmin(errors))]

    return best


def _squared_error(
    values: Doubles, counts: Doubles, bounds: Range, levels: int, symmetric: bool
) -> float:
    low, high = bounds
    step = (high / levels if symmetric else (high - low) / levels) or 1.0
    rounded = np.clip(np.round(values / step) * step, low, high)
    return float(counts @ np.square(values - rounded))


@dataclass(frozen=True)
class Method:
    """A way to find ranges; `rewrites` lets it equalise the network and correct its biases."""

    find: Callable[[Histogram], Range]
    rewrites: bool = True


METHODS: dict[str, Method] = {
    "p99.999": Method(percentile(0.99999)),
    "mse": Method(least_squares(255, symmetric=False)),
    # For tools that take scales and nothing else.
    "mse-symmetric": Method(least_squares(127, symmetric=True), rewrites=False),
}
# Those that are tried, in this order.
SEARCHED = ("p99.999", "mse")
