from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.made import launches
from ultraface_deploy.bench.measurement import Launch
from ultraface_deploy.bench.statistics import (
    Launches,
    median_interval,
    pooled,
    ratio_interval,
    undisturbed,
)


def samples(made: list[Launch]) -> Launches:
    return [[r.milliseconds("inference") for r in launch.rounds] for launch in made]


def test_the_interval_of_the_median_covers_the_true_median() -> None:
    # Log-normal launches around a median of 2: the interval has to hold it in about 95 of 100.
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        centres = 2 * np.exp(generator.normal(0, 0.02, size=8))
        drawn = [[c * np.exp(generator.normal(0, 0.03, 30)) for _ in range(5)] for c in centres]
        low, high = median_interval(drawn)
        covered += low <= 2 <= high
    assert covered >= 85


def test_more_alike_samples_give_a_narrower_interval() -> None:
    generator = np.random.default_rng(0)
    calm, wild = (
        [[generator.normal(2, spread, 40) for _ in range(5)] for _ in range(5)]
        for spread in (0.01, 0.2)
    )
    width = {name: np.ptp(median_interval(x)) for name, x in (("calm", calm), ("wild", wild))}
    assert width["calm"] < width["wild"] / 5


def test_undisturbed_is_the_fastest_sample() -> None:
    made = samples(launches(np.random.default_rng(0), busy=0.5))
    assert undisturbed(made) == pooled(made).min()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 5), st.integers(0, 100))
def test_scaling_all_samples_scales_the_ratio(factor: float, seed: int) -> None:
    before = samples(launches(np.random.default_rng(seed)))
    after = [[factor * x for x in rounds] for rounds in before]
    ratio, low, high = ratio_interval(before, after)
    assert ratio == pytest.approx(factor)
    assert low <= ratio <= high


def test_one_launch_of_one_round_is_enough_for_figures() -> None:
    one = [[np.array([1.0, 2.0, 3.0])]]
    assert median_interval(one)[0] <= 2 <= median_interval(one)[1]
    assert ratio_interval(one, one) == (1, 1, 1)


def test_few_launches_widen_the_interval() -> None:
    """k launches vary less than all possible ones do: by sqrt((k - 1) / k), here 1 / sqrt(2)."""
    one, two = [[np.array([1.0])]], [[np.array([1.0])], [np.array([2.0])]]
    assert ratio_interval(one, two) == pytest.approx((1, 1, 2 ** np.sqrt(2)))
    around = 1.5 * np.exp(np.sqrt(2) * np.log([1 / 1.5, 2 / 1.5]))
    assert median_interval(two) == pytest.approx(tuple(around))
