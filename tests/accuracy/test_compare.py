"""Two results side by side: intervals, the gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.accuracy.made import result, written
from ultraface_deploy.accuracy import compare_results, pair_up
from ultraface_deploy.errors import InputError


def test_a_result_does_not_differ_from_itself() -> None:
    same = compare_results(result(0.2), result(0.2), samples=100)
    assert all((c.change, c.low, c.high) == (0, 0, 0) for c in same.changes)
    assert same.largest_drop == 0


def test_a_real_loss_lies_within_its_interval_and_away_from_zero() -> None:
    pairing = compare_results(result(0.1), result(0.4, seed=1), samples=300)
    for change in pairing.changes:
        assert change.change == pytest.approx(change.after - change.before)
        assert change.low < change.change < change.high < 0
    assert pairing.largest_drop == pytest.approx(0.3, abs=0.1)


def test_more_images_narrow_the_interval() -> None:
    pairs = ((result(0.2, images=n), result(0.2, seed=1, images=n)) for n in (30, 480))
    few, many = (compare_results(*pair, samples=300).changes[0] for pair in pairs)
    # Standard errors fall with the root of the number: to a quarter, give or take.
    assert (many.high - many.low) < 0.5 * (few.high - few.low)


def test_results_on_other_images_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="other images"):
        compare_results(result(0.2), result(0.2, images=10))


def test_one_baseline_goes_with_all_and_several_with_their_like() -> None:
    a, b, c = (result(0.2, artifact=name) for name in "abc")
    assert pair_up([a], [b, c]) == [(a, b), (a, c)]
    assert pair_up([a, b], [b, c]) == [(b, b)]
    with pytest.raises(InputError, match="in common"):
        pair_up([a, b], [c])


def test_the_gate_of_the_command_line(tmp_path: Path, cli) -> None:
    good, bad = written(tmp_path / "a.json", result(0.1)), written(tmp_path / "b.json", result(0.4))
    passed = cli("eval", "compare", good, good, "--max-drop", 0.005, "--samples", 100)
    assert passed.code == 0 and "+0.0000" in passed.out
    failed = cli("eval", "compare", good, bad, "--max-drop", 0.005, "--samples", 100)
    assert failed.code == 1 and "--max-drop 0.005" in failed.error
    assert cli("eval", "compare", good, bad, "--samples", 100).code == 0
    document = json.loads(cli("eval", "compare", good, bad, "--samples", 100, "--json", "-").out)
    assert document["comparisons"][0]["largest_drop"] > 0.1
