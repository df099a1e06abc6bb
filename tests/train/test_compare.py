"""Held-out images say which of two checkpoints is better, and how far chance reaches."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.train import loop
from ultraface_deploy.train.compare import HeldOutChange, compare_held_out, comparison_table
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.recipe import Augmentation, Recipe, Stage
from ultraface_deploy.train.run import train
from ultraface_deploy.train.validate import Judgement


def judgement(rng: np.random.Generator, faces: np.ndarray) -> Judgement:
    """Forty boxes in images with so many faces, none found twice."""
    image = rng.integers(0, len(faces), 40)
    outcome = np.full(40, -1)
    for number, count in enumerate(faces):
        outcome[rng.permutation(np.flatnonzero(image == number))[:count]] = 1
    outcome[rng.integers(0, 40, 3)] = 0
    return Judgement(outcome, image, faces)


@pytest.mark.parametrize("seed", range(5))
def test_an_image_drawn_twice_is_two_images(seed: int) -> None:
    """Counted by drawing, or with the image's boxes and faces really there twice."""
    rng = np.random.default_rng(seed)
    judged = judgement(rng, np.array([3, 0, 2, 4]))
    draws = np.array([2, 1, 0, 1])
    places = np.repeat(np.arange(4), draws)
    boxes = [
        (row, place) for row in range(40) for place in np.flatnonzero(places == judged.image[row])
    ]
    rows = np.array([row for row, _ in boxes])
    real = Judgement(judged.outcome[rows], np.array([p for _, p in boxes]), judged.faces[places])
    assert judged.ap(draws) == pytest.approx(real.ap())
    assert judged.ap(np.ones(4, np.int64)) == judged.ap() != judged.ap(draws)


def test_average_precision_by_hand() -> None:
    """A face, none, a face, of three: 1/3 of the recall at precision 1, 1/3 at 2/3."""
    judged = Judgement(np.array([1, -1, 1, 0]), np.array([0, 0, 0, 0]), np.array([3]))
    assert judged.ap() == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)


@pytest.fixture
def run(tiny: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that has learnt the eight pictures; half of the files, their like, were held out."""
    monkeypatch.setattr(loop, "training_page", lambda *arguments: "")
    prepare({"train": tiny * 8}, tmp_path / "voc")
    still = Augmentation(whole=1, crop=0, aimed=0, expand=0, mirror=0, photometric=0)
    learn = Stage("learn", 10, batch_size=4, optimizer="adamw", lr=1e-2, warmup_steps=5, ema=0.9)
    stage = replace(learn, augment=still, validate_every=10)
    train([tmp_path / "voc"], tmp_path / "run", Recipe("slim", 128, 128, (stage,), holdouts=(0.5,)))
    return tmp_path / "run"


def test_the_figures_are_those_of_training(
    run: Path, tmp_path: Path, make_checkpoint: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    with (run / "metrics.csv").open() as file:
        *_, last = csv.DictReader(file)
    changes = compare_held_out(
        *(make_checkpoint("slim"), run / "last.pth", [tmp_path / "voc"], [0.5]),
        size=(128, 128),
        draws=200,
    )
    for change in changes:
        kind = "kept" if change.geometry == "aspect kept" else "stretched"
        assert change.after == pytest.approx(float(last[f"{kind}_{change.level}"]), abs=2e-4)
        assert change.low <= change.after - change.before <= change.high
    assert max(change.after for change in changes) > 0.05
    done = cli(
        *("models", "compare", run / "last.pth", run / "last.pth"),
        *("--data", tmp_path / "voc", "--holdout", 0.5, "--samples", 100),
    )
    assert done.code == 0, done.err
    assert done.out.count("+0.000 [+0.000, +0.000]") == 6
    assert " of voc, stretched | " in done.out and " of voc, aspect kept | " in done.out


def test_a_row_for_each_data_set_and_geometry() -> None:
    numbers = ("easy", 0.5, 0.52, -0.01, 0.05)
    changes = [HeldOutChange(data, 85, "stretched", *numbers) for data in ("a", "b")]
    assert comparison_table(changes).splitlines() == [
        "| images held out | easy | change |",
        "| --- | ---: | --- |",
        "| 85 of a, stretched | 0.5000 -> 0.5200 | +0.020 [-0.010, +0.050] |",
        "| 85 of b, stretched | 0.5000 -> 0.5200 | +0.020 [-0.010, +0.050] |",
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("nosuch", "slim-320"), "no model named 'nosuch'"),
        (("slim-320", "missing.pth"), "missing.pth"),
        (("slim-320", "rfb-320", "--input-size", "320"), "320"),
        (("slim-320", "rfb-320", "--holdout", "0"), "leaves no image"),
    ],
)
def test_what_is_refused(
    options: tuple[str, ...],
    named: str,
    tiny: list[Sample],
    tmp_path: Path,
    cli: Callable[..., Any],
) -> None:
    prepare({"train": tiny}, tmp_path / "voc")
    done = cli("models", "compare", *options, "--data", tmp_path / "voc")
    assert done.code == 2 and named in done.err and len(done.err.splitlines()) == 1


def test_other_classes_are_no_comparison(
    tmp_path: Path, make_checkpoint: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    (tmp_path / "voc").mkdir()
    two, three = make_checkpoint("slim"), make_checkpoint("slim", num_classes=3)
    assert load_checkpoint(three).spec.num_classes == 3
    done = cli("models", "compare", two, three, "--data", tmp_path / "voc")
    assert done.code == 2 and "other classes" in done.err
