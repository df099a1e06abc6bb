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


def min_max(histogram: Histogram) -> Range:
    """Everything that was seen."""
    return histogram.low, histogram.high


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


def relative_entropy(histogram: Histogram) -> Range:
    """Symmetric range of least Kullback-Leibler divergence (Migacz, GTC 2017), 128 levels.

    Kept because every toolchain offers it: it is the wrong choice for these networks, whose
    classification heads carry the faces in rare, large values.
    """
    counts, top = _magnitudes(histogram, bins=2048)
    divergences = {
        edge: _divergence(counts, edge, levels=128) for edge in range(128, len(counts) + 1, 16)
    }
    threshold = top * min(divergences, key=lambda edge: divergences[edge]) / len(counts)
    return (-threshold if histogram.low < 0 else 0.0), threshold


def _magnitudes(histogram: Histogram, bins: int) -> tuple[Doubles, float]:
    top = max(-histogram.low, histogram.high) or 1.0
    place = np.minimum((np.abs(histogram.centers) / top * bins).astype(int), bins - 1)
    counts = np.bincount(place, histogram.counts, minlength=bins)
    return counts.astype(np.float64), top


def _divergence(counts: Doubles, edge: int, levels: int) -> float:
    kept = counts[:edge]
    reference = kept.copy()
    reference[-1] += counts[edge:].sum()
    group = np.arange(edge) * levels // edge
    filled = kept > 0
    share = np.bincount(group, kept, levels) / np.maximum(np.bincount(group, filled, levels), 1)
    quantised = np.where(filled, share[group], 0.0)
    p, q = reference / reference.sum(), quantised / max(quantised.sum(), 1.0)
    both = (p > 0) & (q > 0)
    # Mass that the quantised distribution cannot represent counts as if it were a thousandth.
    return float(np.sum(p[both] * np.log(p[both] / q[both])) + p[(p > 0) & ~both].sum() * 7.0)


METHODS: dict[str, Callable[[Histogram], Range]] = {
    "minmax": min_max,
    "p99.99": percentile(0.9999),
    "p99.999": percentile(0.99999),
    "mse": least_squares(255, symmetric=False),
    "mse-symmetric": least_squares(127, symmetric=True),
    "kl": relative_entropy,
}
