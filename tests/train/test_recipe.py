"""Recipes: read as they are written, or refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.train.recipe import FOLDER, choose_recipe, load_recipe


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_can_be_read(path: Path) -> None:
    assert load_recipe(path).stages


def test_the_command_line_changes_a_recipe_only_where_asked() -> None:
    recipe = choose_recipe("rfb")
    assert (recipe.architecture, recipe.width, recipe.height) == ("rfb", 320, 240)
    changed = choose_recipe("rfb", FOLDER / "labels.toml", "128x96", 7)
    assert changed == replace(
        load_recipe(FOLDER / "labels.toml"), architecture="rfb", width=128, height=96, seed=7
    )
    with pytest.raises(InputError, match="choose slim or rfb"):
        choose_recipe("big")


@pytest.mark.parametrize(
    "text",
    [
        "architecture = 'slim'",
        "architecture = 'big'\n[[stages]]\nname = 'a'\nepochs = 1",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\nspeed = 3",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\noptimizer = 'lbfgs'",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\nlayerwise = true",
        "= 3",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = '1'",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 0",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\nlr = nan",
        "architecture = 'slim'\nseed = -1\n[[stages]]\nname = 'a'\nepochs = 1",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\nmilestones = 3",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\nweights = 3",
        "architecture = 'slim'\n[[stages]]\nname = 'a'\nepochs = 1\naugment = {face_sizes = [3]}",
        "architecture = 'slim'\nstages = 3",
        "architecture = 'slim'\nstages = " + "[" * 2000,
    ],
)
def test_a_recipe_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
