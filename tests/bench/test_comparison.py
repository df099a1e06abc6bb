from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.bench.made import measurement, report
from ultraface_deploy.bench.comparison import compare_reports, difference, not_in_both, verdict
from ultraface_deploy.bench.result import Failure, merged
from ultraface_deploy.errors import InputError


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.6])
def test_equal_runs_show_no_difference_and_ten_percent_is_found(busy: float) -> None:
    equal, slowed = 0, 0
    for seed in range(12):
        first = measurement(seed=3 * seed, busy=busy)
        again = measurement(seed=3 * seed + 1, busy=busy)
        slow = measurement(2.2, seed=3 * seed + 2, busy=busy)
        equal += difference(first, again).verdict == "no difference shown"
        slowed += difference(first, slow).verdict == "slower"
    assert equal >= 11
    assert slowed >= 11


def test_medians_alone_would_be_fooled_by_a_busy_machine() -> None:
    found = difference(measurement(seed=1), measurement(seed=2, busy=0.7))
    assert found.after_median_ms > 1.2 * found.before_median_ms
    assert found.verdict == "no difference shown"


def test_a_path_that_is_only_slow_at_times_is_found() -> None:
    """Four of five samples take 1.5 times as long; the fastest ones know nothing of it."""
    before, after = measurement(seed=1), measurement(seed=2)
    generator = np.random.default_rng(0)
    for launch in after.launches:
        for samples in launch.rounds:
            times = np.array(samples.inference)
            times[generator.random(len(times)) < 0.8] *= 1.5
            samples.inference[:] = times.tolist()
    found = difference(before, after)
    assert found.ratio == pytest.approx(1, abs=0.03)
    assert found.verdict == "slower" and found.by_median
    assert found.shown_ratio == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "expected"),
    [
        (1.10, 1.06, 1.15, "slower"),
        (0.90, 0.85, 0.95, "faster"),
        (1.10, 0.98, 1.20, "no difference shown"),
        (0.90, 0.80, 1.02, "no difference shown"),
        (1.03, 1.02, 1.04, "no difference shown"),
        (1.00, 1.00, 1.00, "no difference shown"),
    ],
)
def test_verdict(ratio: float, low: float, high: float, expected: str) -> None:
    assert verdict(ratio, low, high) == expected


def test_stages_are_compared_apart() -> None:
    before, after = report(measurement(2.0)), report(measurement(2.4, seed=1))
    assert compare_reports(before, after, "inference")[0].verdict == "slower"
    assert compare_reports(before, after, "preprocess")[0].verdict == "no difference shown"


@pytest.mark.parametrize(
    ("machine", "changes", "what"),
    [
        ({"cpu": "Cortex-A76"}, {}, "machine"),
        ({"hostname": "other"}, {}, "machine"),
        ({}, {"sha256": {"slim-320.ncnn.bin": "ef"}}, "artifact"),
        ({}, {"width": 640, "height": 480}, "input"),
    ],
)
def test_what_is_not_comparable_is_refused_unless_told_to(
    machine: dict[str, Any], changes: dict[str, Any], what: str
) -> None:
    before, after = report(measurement()), report(measurement(seed=1, **changes), **machine)
    with pytest.raises(InputError, match=f"`ignore` {what}"):
        compare_reports(before, after)
    assert len(compare_reports(before, after, ignore=frozenset({what}))) == 1


def test_another_photograph_is_refused_where_it_matters() -> None:
    before, after = report(measurement()), report(measurement(seed=1))
    after.settings["image_sha256"] = "cd"
    assert compare_reports(before, after, "inference")
    with pytest.raises(InputError, match="`ignore` image"):
        compare_reports(before, after, "end_to_end")
    assert compare_reports(before, after, "end_to_end", frozenset({"image"}))


def test_every_host_must_be_the_same_machine() -> None:
    one = report(measurement())
    pi3, pi5 = report(measurement(), cpu="Cortex-A53"), report(measurement(), cpu="Cortex-A76")
    with pytest.raises(InputError, match="different machines"):
        compare_reports(merged({"a": one, "b": pi3}), merged({"a": one, "b": pi5}))
    assert len(compare_reports(merged({"a": one, "b": pi3}), merged({"b": pi3, "a": one}))) == 2


def test_what_was_lost_and_what_is_new_is_named() -> None:
    four, mnn = measurement(threads=4), measurement(backend="mnn", artifact="mnn")
    before = report(measurement(), four)
    after = report(measurement(), mnn)
    crashed = Failure("slim-320", "ncnn", "ncnn", "fp32", 4, "crashed with SIGSEGV")
    lost, added = not_in_both(before, replace(after, failures=(crashed,)))
    assert lost == [f"{four.title}: crashed with SIGSEGV"]
    assert added == [mnn.title]


def test_several_sizes_cannot_be_compared_without_their_size() -> None:
    both = report(measurement(), measurement(width=128, height=96))
    assert len(compare_reports(both, both)) == 2
    with pytest.raises(InputError, match="one input size each"):
        compare_reports(both, both, ignore=frozenset({"input"}))


def test_only_what_both_hold_is_compared() -> None:
    before = report(measurement(), measurement(threads=2, cores=[0, 1]))
    after = report(measurement(seed=1), measurement(threads=4, cores=[0, 1, 2, 3]))
    assert [d.configuration for d in compare_reports(before, after)] == [
        "slim-320 320x240, ncnn fp32, 1 thread"
    ]
    with pytest.raises(InputError, match="no configuration in common"):
        compare_reports(before, report(measurement(backend="mnn")))
