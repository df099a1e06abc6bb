"""Score calibration: the map is found, and folding it changes the scores so and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import METADATA_KEY, Architecture
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.loop import save
from ultraface_deploy.train.recipe import Recipe, Stage
from ultraface_deploy.train.run import train
from ultraface_deploy.train.score_report import ScoreView, score_tables
from ultraface_deploy.train.scores import Judged, matching_map, rescaled


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_the_map_between_two_networks_is_found() -> None:
    """The other network's logits are the first's times 0.8 minus 0.5, and so are its scores."""
    logits = np.random.default_rng(0).normal(0, 2, 4000)
    wrong = np.zeros(4000, bool)
    reference = Judged(logistic(logits), wrong, 100)
    own = Judged(logistic(0.8 * logits - 0.5), wrong, 100)
    scale, shift = matching_map(own, reference)
    assert (scale, shift) == pytest.approx((1 / 0.8, 0.5 / 0.8), rel=0.01)
    mapped = own.scores / (1 - own.scores)
    again = Judged(logistic(scale * np.log(mapped) + shift), wrong, 100)
    for threshold in (0.5, 0.6, 0.7):
        expected = reference.false_positives(threshold)
        assert again.false_positives(threshold) == pytest.approx(expected, rel=0.02)


def test_too_few_false_positives_are_refused() -> None:
    few = Judged(np.array([0.9, 0.8]), np.zeros(2, bool), 1)
    with pytest.raises(InputError, match="too few"):
        matching_map(few, few)


def test_scores_that_are_all_the_same_are_refused() -> None:
    """As of a network that has learnt nothing yet; a line through one point has any slope."""
    spread, same = np.linspace(0.01, 0.99, 4000), np.full(4000, 0.999)
    wrong = np.zeros(4000, bool)
    with pytest.raises(InputError, match="nearly the same"):
        matching_map(Judged(same, wrong, 100), Judged(spread, wrong, 100))


def test_reliability_counts_faces_among_scores() -> None:
    scores, right = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, True, True, True])
    assert Judged(scores, right, 1).reliability([0, 0.5, 1]) == [
        (pytest.approx(0.15), 0.5, 2),
        (pytest.approx(0.85), 1.0, 2),
    ]


@pytest.mark.parametrize(("architecture", "classes"), [("slim", 2), ("rfb", 3)])
def test_folding_maps_every_logit_and_no_box(architecture: Architecture, classes: int) -> None:
    torch.manual_seed(0)
    net, x = UltraFace(architecture, classes).eval(), torch.randn(1, 3, 64, 96)
    changed = UltraFace(architecture, classes).eval()
    changed.load_state_dict(rescaled(net.state_dict(), 1.3, 0.4, classes))
    with torch.no_grad():
        (logits, boxes), (mapped, same) = net(x), changed(x)
    torch.testing.assert_close(boxes, same)
    before, after = logits[..., 1:] - logits[..., :1], mapped[..., 1:] - mapped[..., :1]
    torch.testing.assert_close(after, 1.3 * before + 0.4, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kept", [False, True])
def test_a_checkpoint_gets_the_scores_of_another(
    kept: bool,
    tiny: list[Sample],
    tmp_path: Path,
    make_checkpoint: Callable[..., Path],
    cli: Callable[..., Any],
) -> None:
    """The other is the same network, less sure of everything."""
    own = load_checkpoint(make_checkpoint("slim"))
    small = own.spec.resized(64, 64)
    # A random network, mapped so that most of its scores lie above the thresholds.
    with torch.no_grad():
        logits, _ = own.build()(torch.rand(1, 3, 64, 64) * 0.7 - 1)
    spread, middle = torch.std_mean(logits[0, :, 1] - logits[0, :, 0])
    flat = rescaled(own.state_dict, 1 / float(spread), 1.5 - float(middle / spread))
    for name, weights in (("own", flat), ("other", rescaled(flat, 0.8, -0.3))):
        save({"state_dict": weights, METADATA_KEY: small.to_dict()}, tmp_path / f"{name}.pth")
    prepare({"train": tiny}, tmp_path / "voc")
    done = cli(
        *("models", "match-scores", tmp_path / "own.pth", "--like", tmp_path / "other.pth"),
        *("--data", tmp_path / "voc", "--holdout", 1, "-o", tmp_path / "new.pth"),
        *(["--keep-aspect"] if kept else []),
    )
    assert done.code == 0, done.err
    assert "false positives an image" in done.out
    assert load_checkpoint(tmp_path / "new.pth").spec.width == 64


def test_a_recipe_ends_with_the_scores_of_another(
    tiny: list[Sample], tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    """Nothing is learnt, so that what ends is the first network with the other's scores."""
    own = load_checkpoint(make_checkpoint("slim"))
    with torch.no_grad():
        logits, _ = own.build()(torch.rand(1, 3, 64, 64) * 0.7 - 1)
    spread, middle = torch.std_mean(logits[0, :, 1] - logits[0, :, 0])
    flat = rescaled(own.state_dict, 1 / float(spread), 1.5 - float(middle / spread))
    small = own.spec.resized(64, 64).to_dict()
    for name, weights in (("own", flat), ("other", rescaled(flat, 0.8, -0.3))):
        save({"state_dict": weights, METADATA_KEY: small}, tmp_path / f"{name}.pth")
    prepare({"train": tiny * 4}, tmp_path / "voc")
    still = Stage("still", 1, batch_size=2, lr=0.0, freeze_bn=True, ema=0.0)
    recipe = Recipe("slim", 64, 64, (still,), holdouts=(0.8,), scores_like="other")
    best = train(
        *([tmp_path / "voc"], tmp_path / "run", recipe),
        teachers=[tmp_path / "other.pth"],
        init=tmp_path / "own.pth",
    )
    assert best == tmp_path / "run/matched.pth"
    trained, matched = (load_checkpoint(tmp_path / "run" / n) for n in ("best.pth", "matched.pth"))
    head = "classification_headers.3.weight"
    torch.testing.assert_close(trained.state_dict[head], flat[head])
    assert float((matched.state_dict[head] / flat[head]).mean()) == pytest.approx(0.8, abs=0.1)


@pytest.fixture
def labelled(tiny: list[Sample], tmp_path: Path) -> Path:
    prepare({"train": tiny}, tmp_path / "voc")
    return tmp_path / "voc"


def test_false_alarms_are_counted_where_no_face_is(
    labelled: Path,
    tmp_path: Path,
    make_checkpoint: Callable[..., Path],
    cli: Callable[..., Any],
) -> None:
    """In both geometries and every size asked for; the curve is a picture."""
    card, curve = tmp_path / "card.md", tmp_path / "curve.svg"
    card.write_text("before\n<!-- scores:begin -->\nold\n<!-- scores:end -->\nafter\n")
    done = cli(
        *("models", "scores", make_checkpoint("slim"), "--data", labelled, "--holdout", 1),
        *("--faceless", 3, "--input-size", "64x64", "--input-size", "128x64"),
        *("--plot", curve, "--into", card),
    )
    assert done.code == 0, done.err
    assert "old" not in card.read_text() and card.read_text().endswith("after\n")
    alarms, reliability = card.read_text().split("\n\n")
    for view in (
        "64x64",
        "longest side 64, aspect kept",
        "128x64",
        "longest side 128, aspect kept",
    ):
        assert f"| {view}, 8 of the data | " in alarms
        assert f"| {view}, 3 without faces | " in alarms
        assert f"| {view} | " in reliability
    assert curve.read_text().startswith("<?xml") and "<svg" in curve.read_text()


def test_shares_of_faces_by_score() -> None:
    scores, right = np.array([0.15, 0.62, 0.66, 0.95]), np.array([False, True, False, True])
    judged = Judged(scores, right, 2)
    text = score_tables([ScoreView(320, 240, False, judged, judged)])
    assert "| 320x240, 2 of the data | 0.500 | 0.500 | 0.500 | 0.500 | 0.000 | 0.000 |" in text
    *_, last = text.splitlines()
    assert last == ("| 320x240 | 0.00 of 1 | - | - | - | - | 0.50 of 2 | - | - | 1.00 of 1 |")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("nosuch",), "no model named 'nosuch'"),
        (("slim-320", "--plot", "curve.jpg"), ".png, .svg"),
        (("slim-320", "--input-size", "320"), "320"),
        (("slim-320", "--into", str(Path(__file__).with_name("conftest.py"))), "scores:begin"),
        (("slim-320", "--holdout", "0"), "leaves no image"),
    ],
)
def test_what_scores_refuses(
    options: tuple[str, ...], named: str, labelled: Path, cli: Callable[..., Any]
) -> None:
    done = cli("models", "scores", *options, "--data", labelled)
    assert done.code == 2 and named in done.err and len(done.err.splitlines()) == 1
