"""What a recipe would take: every part is timed, and the sums follow from the recipe."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch")

from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.estimate import Cost, estimate
from ultraface_deploy.train.recipe import Recipe, Stage

STAGES = (Stage("first", 3, batch_size=3), Stage("second", 5, batch_size=4, validate_every=2))


def test_images_are_those_of_the_recipe(tiny: list[Sample]) -> None:
    """Eight images, none held out: two batches of three in an epoch, or two of four."""
    recipe = Recipe("slim", 64, 64, STAGES, holdouts=(0.0,))
    costs = {cost.part: cost for cost in estimate(recipe, [tiny], {}, steps=2)}
    assert {part: cost.images for part, cost in costs.items()} == {
        "decoding": 8,
        "first": 3 * 6,
        "second": 5 * 8,
        "measuring AP": 0,
    }
    assert all(cost.wall > 0 and cost.processor > 0 for cost in costs.values())


def test_ap_is_measured_on_what_is_held_out(tiny: list[Sample]) -> None:
    recipe = Recipe("slim", 64, 64, STAGES, holdouts=(0.0, 0.99))
    *_, measuring = estimate(recipe, [tiny, tiny], {}, steps=1)
    assert measuring.images % (3 + 3) == 0 and measuring.images > 0


def test_a_line_says_rate_and_hours() -> None:
    said = str(Cost("tune", 7200, 0.5, 0.25))
    assert said == "tune: 7200 images, 2.0 a second, 1.00 h, 0.50 h of processor time"


def test_the_command_trains_nothing(
    tiny: list[Sample], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    prepare({"train": tiny}, tmp_path / "voc")
    options = ("--recipe", "labels", "--input-size", "64x64", "--estimate")
    done = cli("train", "--data", tmp_path / "voc", "-o", tmp_path / "run", *options)
    assert done.code == 0, done.err
    assert re.search(r"^in all \d+\.\d h, \d+\.\d h of processor time$", done.out, re.M)
    assert not (tmp_path / "run").exists()
