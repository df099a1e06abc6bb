"""Latencies with confidence intervals, from samples that come in blocks.

Neighbouring samples are alike (one launch has one memory layout, one moment has one clock
frequency and one set of neighbours), so the bootstrap draws launches, then rounds within them,
and never single samples: Davison & Hinkley, "Bootstrap Methods and their Application", 1997,
section 3.8 (hierarchical data).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]
Launches = Sequence[Sequence[Samples]]
"""Samples of each round of each launch."""

RESAMPLES = 1000
_POINTS = 15


def median_interval(launches: Launches, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the median.

    Args:
        launches: samples of each round of each launch, any unit.
        confidence: coverage of the interval.
    """
    return _interval(bootstrap_log_medians(launches, np.random.default_rng(0)), confidence)


def undisturbed(launches: Launches) -> float:
    """Return how long it takes when nothing disturbs it: the fastest sample.

    Whatever interferes only ever adds time. On a machine that others kept busy the medians of
    equal runs differed by up to 9 %, their fastest samples by up to 2 %.
    """
    return float(_round_minima(launches).min())


def ratio_interval(
    before: Launches, after: Launches, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of the undisturbed times, after / before, and its confidence interval.

    Args:
        before: samples of each round of each launch.
        after: the same, from the other run.
        confidence: coverage of the interval.
    """
    generator = np.random.default_rng(0)
    drawn = _bootstrap_log_undisturbed(after, generator)
    drawn -= _bootstrap_log_undisturbed(before, generator)
    return _around(undisturbed(after) / undisturbed(before), drawn, confidence)


def median_ratio_interval(
    before: Launches, after: Launches, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the same as `ratio_interval` of the medians."""
    generator = np.random.default_rng(0)
    drawn = bootstrap_log_medians(after, generator) - bootstrap_log_medians(before, generator)
    ratio = float(np.median(pooled(after)) / np.median(pooled(before)))
    return _around(ratio, drawn, confidence)


def _around(ratio: float, drawn: Samples, confidence: float) -> tuple[float, float, float]:
    """A ratio with the interval of its resampled logarithms, which it lies in."""
    low, high = _interval(drawn, confidence)
    return ratio, min(low, ratio), max(high, ratio)


def _interval(logs: Samples, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.exp(np.quantile(logs, [tail, 1 - tail]))
    return float(low), float(high)


def pooled(launches: Launches) -> Samples:
    """Return all samples in one array."""
    return np.concatenate([samples for rounds in launches for samples in rounds])


def bootstrap_log_medians(launches: Launches, generator: np.random.Generator) -> Samples:
    """Return the logarithm of the median of `RESAMPLES` hierarchical resamples."""
    fewest = min(len(rounds) for rounds in launches)
    points = [_quantile_points(rounds) for rounds in launches]
    size = (RESAMPLES, len(launches))
    chosen = generator.integers(len(launches), size=size)
    drawn = np.empty((*size, fewest * _POINTS))
    for index, rounds in enumerate(points):
        places = chosen == index
        picks = generator.integers(len(rounds), size=(places.sum(), fewest))
        drawn[places] = rounds[picks].reshape(len(picks), -1)
    return _widened(np.log(np.median(drawn.reshape(RESAMPLES, -1), axis=1)), len(launches))


def _bootstrap_log_undisturbed(launches: Launches, generator: np.random.Generator) -> Samples:
    minima = _round_minima(launches)
    count, rounds = minima.shape
    chosen = generator.integers(count, size=(RESAMPLES, count, 1))
    picks = generator.integers(rounds, size=(RESAMPLES, count, rounds))
    return _widened(np.log(minima[chosen, picks].min(axis=(1, 2))), count)


def _round_minima(launches: Launches) -> Samples:
    """Fastest sample of each round, (launches, rounds)."""
    fewest = min(len(rounds) for rounds in launches)
    return np.array([[samples.min() for samples in rounds[:fewest]] for rounds in launches])


def _widened(logs: Samples, launches: int) -> Samples:
    """Spread resamples by sqrt(k / (k - 1)): k launches vary less than all possible ones do."""
    centre = np.median(logs)
    widening = (launches / (launches - 1)) ** 0.5 if launches > 1 else 1.0
    widened: Samples = centre + (logs - centre) * widening
    return widened


def _quantile_points(rounds: Sequence[Samples]) -> Samples:
    """Stand for each round by the same number of its quantiles, (rounds, _POINTS)."""
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    return np.stack([np.quantile(samples, levels) for samples in rounds])
