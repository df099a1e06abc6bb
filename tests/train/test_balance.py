"""Balanced scores: the fit ranks boxes of all kinds better, and the weights then score so."""

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
from ultraface_deploy.train import balance
from ultraface_deploy.train.balance import balance_checkpoint
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.loop import save
from ultraface_deploy.train.ranking import Kept, Lines, Seen, fit, precision
from ultraface_deploy.train.recipe import Recipe, Stage
from ultraface_deploy.train.run import train
from ultraface_deploy.train.scores import rescaled

LEVELS = ("easy", "medium", "hard")


def pictures(seed: int, shifts: tuple[float, float], count: int = 60) -> list[Seen]:
    """Pictures of ten boxes, none near another, five of them on faces.

    A box on a face has a logit about 2, another about -2, and to it comes the shift of its kind.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        kinds, right = rng.integers(0, 2, 10), np.arange(10) < 5
        logits = rng.normal(np.where(right, 2.0, -2.0), 1.0) + np.array(shifts)[kinds]
        faces = np.eye(10, 5) * right[:, None]
        ignored = {level: np.zeros(5, bool) for level in LEVELS}
        found.append(Seen(logits, kinds, np.eye(10, dtype=bool), faces, ignored))
    return found


def test_kinds_that_score_too_high_come_back_into_the_order() -> None:
    """Judged on pictures that the fit has not seen; without the shift AP is about 0.99."""
    lines = fit([pictures(0, (0.0, 3.0))], 2)
    others = [pictures(1, (0.0, 3.0))]
    before, after = (float(precision(others[0], each).mean()) for each in (Lines.same(2), lines))
    possible = float(precision(pictures(1, (0.0, 0.0)), Lines.same(2)).mean())
    assert before < possible - 0.05
    assert after == pytest.approx(possible, abs=0.01)


def test_scores_in_order_stay_so() -> None:
    view = pictures(0, (0.0, 0.0))
    assert precision(view, fit([view], 2)).mean() > precision(view, Lines.same(2)).mean() - 1e-3


def test_a_kind_of_which_nothing_was_seen_goes_with_the_others() -> None:
    """Kinds 0 and 1 are seen; without evidence of its own kind 2 gets about their mean."""
    lines = fit([pictures(0, (0.0, 3.0))], 3)
    for values in (lines.scales, lines.shifts):
        assert min(values[:2]) - 0.05 < values[2] < max(values[:2]) + 0.05


def test_scores_stay_about_as_high() -> None:
    """AP knows order only; a fit that doubled all logits would leave thresholds without sense."""
    view = pictures(0, (0.0, 3.0))
    lines = fit([view], 2)
    before = np.concatenate([seen.logits for seen in view])
    kinds = np.concatenate([seen.kinds for seen in view])
    after = before * lines.scales[kinds] + lines.shifts[kinds]
    assert (after.mean(), after.std()) == pytest.approx((before.mean(), before.std()))


def test_hard_faces_are_not_sold_for_easy_ones() -> None:
    """Kind 1 finds small faces alone: with weight for easy alone it is put last, else not."""
    rng, view = np.random.default_rng(2), []
    for _ in range(60):
        kinds, right = np.repeat([0, 1], 6), np.tile(np.arange(6) < 3, 2)
        logits = rng.normal(np.where(right, 1.0, -1.0), 1.0)
        faces = np.eye(12)[:, right.nonzero()[0]] * right[:, None]
        small = kinds[right] == 1
        ignored = {"easy": small, "medium": small, "hard": np.zeros(6, bool)}
        view.append(Seen(logits, kinds, np.eye(12, dtype=bool), faces, ignored))
    start, fair, greedy = (
        precision(view, lines)
        for lines in (Lines.same(2), fit([view], 2, (1, 1, 4)), fit([view], 2, (1, 1, 0)))
    )
    assert greedy[0] > fair[0] > start[0] - 1e-3
    assert greedy[2] < fair[2] - 0.01
    assert fair[2] > start[2] - 0.01


def test_the_ap_that_is_descended_is_nearly_the_exact_one() -> None:
    view = pictures(3, (0.5, -0.5), count=300)
    for lines in (Lines.same(2), Lines(np.array([0.7, 1.6]), np.array([0.3, -0.2]))):
        soft = Kept.of(view, lines).ap(torch.tensor(lines.scales), torch.tensor(lines.shifts))
        np.testing.assert_allclose(soft.numpy(), precision(view, lines), atol=0.01)


def test_nms_goes_by_the_balanced_scores() -> None:
    """Two boxes of one face: which is left depends on their lines."""
    seen = Seen(np.array([1.0, 0.5]), np.array([0, 1]), np.ones((2, 2), bool), np.zeros((2, 0)), {})
    assert seen.ranked(Lines.same(2)).tolist() == [0]
    assert seen.ranked(Lines(np.array([1.0, 2.0]), np.array([0.0, 0.5]))).tolist() == [1]


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
def test_folding_gives_each_kind_its_line(architecture: Architecture) -> None:
    """The feature maps of 64x64 have 8x8, 4x4, 2x2 and 1x1 cells with 3, 2, 2 and 3 kinds."""
    torch.manual_seed(0)
    net, x = UltraFace(architecture).eval(), torch.randn(1, 3, 64, 64)
    scales, shifts = np.linspace(0.5, 1.5, 10), np.linspace(-2, 2, 10)
    changed = UltraFace(architecture).eval()
    changed.load_state_dict(rescaled(net.state_dict(), scales, shifts))
    with torch.no_grad():
        (logits, boxes), (mapped, same) = net(x), changed(x)
    torch.testing.assert_close(boxes, same)
    cells = [(64, (0, 1, 2)), (16, (3, 4)), (4, (5, 6)), (1, (7, 8, 9))]
    kinds = [kind for count, own in cells for _ in range(count) for kind in own]
    before, after = (each[0, :, 1] - each[0, :, 0] for each in (logits, mapped))
    wanted = torch.tensor(scales[kinds]).float() * before + torch.tensor(shifts[kinds]).float()
    torch.testing.assert_close(after, wanted, rtol=1e-4, atol=1e-4)


@pytest.fixture
def small(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Path:
    """A random network for 64x64, with scores that are spread."""
    own = load_checkpoint(make_checkpoint("slim"))
    with torch.no_grad():
        logits, _ = own.build()(torch.rand(1, 3, 64, 64) * 0.7 - 1)
    spread, middle = torch.std_mean(logits[0, :, 1] - logits[0, :, 0])
    weights = rescaled(own.state_dict, 1 / float(spread), -float(middle / spread))
    save(
        {"state_dict": weights, METADATA_KEY: own.spec.resized(64, 64).to_dict()},
        tmp_path / "own.pth",
    )
    return tmp_path / "own.pth"


def test_a_checkpoint_is_balanced(
    tiny: list[Sample], small: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    prepare({"train": tiny}, tmp_path / "voc")
    done = cli(
        *("models", "balance-scores", small, "--data", tmp_path / "voc", "--holdout", 0),
        *("--weights", 1, 1, 1, "-o", tmp_path / "new.pth"),
    )
    assert done.code == 0, done.err
    levels = [row for row in done.out.splitlines() if "->" in row]
    assert [row.partition(":")[0] for row in levels] == list(LEVELS)
    gains = [float(row.split()[3]) - float(row.split()[1]) for row in levels]
    assert sum(gains) > 0
    old, new = (load_checkpoint(path) for path in (small, tmp_path / "new.pth"))
    assert new.spec.width == 64
    same = "regression_headers.0.2.weight"
    assert torch.equal(old.state_dict[same], new.state_dict[same])


@pytest.mark.parametrize("count", [3, 5000])
def test_as_many_images_are_looked_at_as_were_asked_for(
    count: int, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the default too."""
    looked: list[int] = []
    every = [
        Sample(tmp_path / f"{n}.png", np.zeros((0, 4)), np.zeros(0, bool)) for n in range(5000)
    ]
    monkeypatch.setattr(balance, "read_dataset", lambda root, part: every)
    monkeypatch.setattr(balance, "ImageCache", lambda samples, *others: looked.append(len(samples)))
    monkeypatch.setattr(
        balance, "write_balanced", lambda own, samples, cache, indices, *_, **__: list(indices)
    )
    seen: Any = balance_checkpoint(small, [tmp_path], tmp_path / "new.pth", [0.0], images=count)
    assert looked == [len(seen)] == [count]


def test_a_weight_is_a_number(small: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    done = cli(
        *("models", "balance-scores", small, "--data", tmp_path, "-o", tmp_path / "new.pth"),
        *("--weights", 1, "nan", 1),
    )
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--weights nan: is not a number" in done.err


def test_a_recipe_balances_before_it_matches(
    tiny: list[Sample], small: Path, tmp_path: Path
) -> None:
    """Nothing is learnt, so that `best.pth` is the first network."""
    prepare({"train": tiny}, tmp_path / "voc")
    still = Stage("still", epochs=1, batch_size=4, optimizer="adamw", lr=1e-12, freeze_bn=True)
    recipe = Recipe("slim", 64, 64, (still,), balance=(1.0, 1.0, 1.0))
    said: list[str] = []
    best = train([tmp_path / "voc"], tmp_path / "run", recipe, init=small, report=said.append)
    assert best == tmp_path / "run/balanced.pth"
    assert said[-1].startswith("scores balanced")


@pytest.mark.parametrize("balance", [(1.0,), (1.0, 1.0, 1.0, 1.0)])
def test_a_recipe_has_three_weights(balance: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="three weights"):
        Recipe("slim", 64, 64, (Stage("still", epochs=1),), balance=balance)


def test_several_classes_are_refused(
    tiny: list[Sample], tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    prepare({"train": tiny}, tmp_path / "voc")
    several = make_checkpoint("slim", num_classes=3)
    with pytest.raises(InputError, match="one class, this network has 2"):
        balance_checkpoint(several, [tmp_path / "voc"], tmp_path / "new.pth")
    assert not (tmp_path / "new.pth").exists()


def test_no_image_to_look_at_is_refused(tiny: list[Sample], small: Path, tmp_path: Path) -> None:
    prepare({"train": tiny}, tmp_path / "voc")
    with pytest.raises(InputError, match="holdout"):
        balance_checkpoint(small, [tmp_path / "voc"], tmp_path / "new.pth", [1.0])
