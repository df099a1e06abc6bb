"""Medians with confidence intervals from samples that come in blocks.

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
    medians = np.exp(bootstrap_log_medians(launches, np.random.default_rng(0)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return float(low), float(high)


def ratio_interval(
    before: Launches, after: Launches, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of the medians, after / before, and its confidence interval.

    Args:
        before: samples of each round of each launch.
        after: the same, from the other run.
        confidence: coverage of the interval.
    """
    generator = np.random.default_rng(0)
    differences = bootstrap_log_medians(after, generator) - bootstrap_log_medians(before, generator)
    tail = (1 - confidence) / 2
    low, high = np.exp(np.quantile(differences, [tail, 1 - tail]))
    ratio = np.median(pooled(after)) / np.median(pooled(before))
    return float(ratio), float(low), float(high)


def pooled(launches: Launches) -> Samples:
    """Return all samples in one array."""
    return np.concatenate([samples for rounds in launches for samples in rounds])


def bootstrap_log_medians(launches: Launches, generator: np.random.Generator) -> Samples:
    """Return the logarithm of the median of `RESAMPLES` hierarchical resamples.

    k launches vary less among themselves than all possible ones do: deviations are widened by
    sqrt(k / (k - 1)).
    """
    fewest = min(len(rounds) for rounds in launches)
    points = [_quantile_points(rounds) for rounds in launches]
    size = (RESAMPLES, len(launches))
    chosen = generator.integers(len(launches), size=size)
    drawn = np.empty((*size, fewest * _POINTS))
    for index, rounds in enumerate(points):
        places = chosen == index
        picks = generator.integers(len(rounds), size=(places.sum(), fewest))
        drawn[places] = rounds[picks].reshape(len(picks), -1)
    logs = np.log(np.median(drawn.reshape(RESAMPLES, -1), axis=1))
    widening = (len(launches) / (len(launches) - 1)) ** 0.5 if len(launches) > 1 else 1.0
    centre = np.median(logs)
    widened: Samples = centre + (logs - centre) * widening
    return widened


def _quantile_points(rounds: Sequence[Samples]) -> Samples:
    """Stand for each round by the same number of its quantiles, (rounds, _POINTS)."""
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    return np.stack([np.quantile(samples, levels) for samples in rounds])
