"""The page of a run: what the CSV says and what the network sees, in a browser of any width."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("matplotlib", reason="the page's plots are drawn with it")

from tests.pages.look import look_at  # noqa: E402
from ultraface_deploy.family.nets import UltraFace  # noqa: E402
from ultraface_deploy.train.data import Sample  # noqa: E402
from ultraface_deploy.train.data.cache import ImageCache  # noqa: E402
from ultraface_deploy.train.examples import Example, examples, spread  # noqa: E402
from ultraface_deploy.train.page import training_page  # noqa: E402
from ultraface_deploy.train.recipe import Recipe, Stage, choose_recipe  # noqa: E402

RECIPE = choose_recipe("rfb")
BARE = Recipe("slim", 64, 64, (Stage("labels", 1),))
LEVELS = [f"{g}_{level}" for g in ("stretched", "kept") for level in ("easy", "medium", "hard")]


def row(stage: str, images: int, ap: str, **losses: str) -> dict[str, str]:
    levels = dict.fromkeys(LEVELS, ap)
    told = {"stage": stage, "epoch": "1", "images": str(images), "lr": "0.0003", "seconds": "90"}
    return told | {"ap": ap} | levels | {"total": "2.5"} | losses


ROWS = [
    row("layers", 800, "0.25", features="2.5"),
    row("tune", 1600, "0.5", label_scores="1.5"),
    row("tune", 2400, "0.4375", label_scores="1.25"),
]


def jpeg(width: int, height: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))[1])


def test_the_page_says_what_was_measured_and_needs_nothing_else() -> None:
    shown = training_page(RECIPE, ROWS, [Example("1 of 2 faces found: <a>.jpg", jpeg(480, 320))])
    assert not re.search(r"(src|href)=\"(?!data:)", shown) and "<script" not in shown
    assert "Best AP on the held-out images: 0.5000, after 1600 images" in shown
    assert "2400 images seen in 4 minutes" in shown  # 270 seconds
    assert "&lt;a&gt;.jpg" in shown and shown.count("<img") == 4
    for stage in RECIPE.stages:
        assert f"Stage {stage.name}" in shown
    assert "published-rfb-640" in shown and shown == training_page(
        RECIPE, ROWS, [Example("1 of 2 faces found: <a>.jpg", jpeg(480, 320))]
    )


def test_a_run_without_held_out_images_has_no_ap() -> None:
    shown = training_page(BARE, [row("labels", 8, "nan")], [])
    assert "no AP" in shown and "AP on held-out" not in shown and shown.count("<img") == 2
    assert "Nothing was measured" in training_page(BARE, [], [])


@pytest.mark.parametrize("width", [360, 1200])
def test_looks_right_in_a_browser(width: int, tmp_path: Path) -> None:
    pictures = [
        Example(f"{n} of 9 faces found: {'long-name' * 9}.jpg", jpeg(480, 320 + 40 * n))
        for n in range(4)
    ]
    seen = look_at(training_page(RECIPE, ROWS, pictures), width, tmp_path)
    assert seen["images"] == [True] * 7
    assert seen["page"] <= seen["window"] == width
    assert seen["smallest_text_px"] >= 12
    assert seen["rows"] == len(ROWS)


def test_examples_count_what_is_found(tiny: list[Sample], tmp_path: Path) -> None:
    """A network without knowledge finds nothing at a score of 0.99; each label is missed."""
    torch.manual_seed(0)
    cache = ImageCache(tiny, tmp_path / "cache", 128)
    strict = replace(BARE.spec, score_threshold=0.99)
    shown = examples(UltraFace("slim"), strict, tiny, cache, [1, 0])
    assert [each.caption for each in shown] == [
        "0 of 2 faces found, 0 boxes without a face: 1.png",
        "0 of 1 face found, 0 boxes without a face: 0.png",
    ]
    picture = cv2.imdecode(np.frombuffer(shown[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    left, top, *_ = (tiny[1].boxes[0] * 480 / 128).round().astype(int)
    # On the frame of a missed face blue prevails, which the picture's noise has nowhere so bright.
    blue, _, red = picture[top, left + 10].astype(int)
    assert picture.shape == (480, 480, 3) and blue - red > 60


@pytest.mark.parametrize(("count", "chosen"), [(3, [0, 1, 2]), (15, [0, 2, 4, 6, 8, 10, 12, 14])])
def test_pictures_are_spread_evenly(count: int, chosen: list[int]) -> None:
    assert spread(range(count)) == chosen
