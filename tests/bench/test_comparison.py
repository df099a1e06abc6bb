from __future__ import annotations

from typing import Any

import pytest

from tests.bench.made import measurement, report
from ultraface_deploy.bench.comparison import compare, difference, verdict
from ultraface_deploy.errors import InputError


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.6])
def test_equal_runs_show_no_difference_and_ten_percent_is_found(busy: float) -> None:
    equal, slowed = 0, 0
    for seed in range(20):
        first = measurement(seed=3 * seed, busy=busy)
        again = measurement(seed=3 * seed + 1, busy=busy)
        slow = measurement(2.2, seed=3 * seed + 2, busy=busy)
        equal += difference(first, again).verdict == "no difference shown"
        slowed += difference(first, slow).verdict == "slower"
    assert equal >= 19
    assert slowed >= 19


def test_medians_alone_would_be_fooled_by_a_busy_machine() -> None:
    found = difference(measurement(seed=1), measurement(seed=2, busy=0.7))
    assert found.after_median_ms > 1.2 * found.before_median_ms
    assert found.verdict == "no difference shown"


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
    assert compare(before, after, "inference")[0].verdict == "slower"
    assert compare(before, after, "preprocess")[0].verdict == "no difference shown"


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
    with pytest.raises(InputError, match=f"--ignore {what}"):
        compare(before, after)
    assert len(compare(before, after, ignore=frozenset({what}))) == 1


def test_only_what_both_hold_is_compared() -> None:
    before = report(measurement(), measurement(threads=2, cores=[0, 1]))
    after = report(measurement(seed=1), measurement(threads=4, cores=[0, 1, 2, 3]))
    assert [d.configuration for d in compare(before, after)] == [
        "slim-320 320x240, ncnn fp32, 1 thread"
    ]
    with pytest.raises(InputError, match="no configuration in common"):
        compare(before, report(measurement(backend="mnn")))
