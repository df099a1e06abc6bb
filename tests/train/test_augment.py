"""Augmentation: boxes follow their pixels, in every kind of window, and colours keep shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.train.augment import Colours, Draws, Windows, draw_windows
from ultraface_deploy.train.batches import Batches
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.pool import Pool
from ultraface_deploy.train.recipe import Augmentation

STILL = Augmentation(photometric=0)


def window(*rectangle: float, mirrored: bool = False) -> Windows:
    return Windows(torch.tensor([rectangle]), torch.tensor([mirrored]))


def canvas(image: np.ndarray) -> torch.Tensor:
    """An image (H, W) of values in the top left corner of a square of zeros, as (1, 3, S, S)."""
    side = max(image.shape)
    square = np.zeros((side, side), np.float32)
    square[: image.shape[0], : image.shape[1]] = image
    return torch.from_numpy(square).expand(1, 3, side, side)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rectangle", [(0, 0, 100, 80), (20, 10, 50, 40), (-50, -20, 200, 160)])
def test_boxes_go_where_their_pixels_go(
    rectangle: tuple[float, float, float, float], mirrored: bool
) -> None:
    image = np.zeros((80, 100), np.float32)
    image[30:50, 40:60] = 1  # a white square: corners 40 30 60 50
    view = window(*rectangle, mirrored=mirrored)
    warped = view.warp(canvas(image), 320, 240, "bilinear")[0, 0].numpy()
    placed = view.place(torch.tensor([[[40.0, 30, 60, 50]]]))[0, 0].numpy()
    rows, columns = np.nonzero(warped > 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found, placed * [320, 240, 320, 240], atol=1.01)


def test_the_whole_image_as_window_is_the_image() -> None:
    image = np.random.default_rng(0).random((240, 320), np.float32)
    for mode in ("bilinear", "nearest"):
        whole = window(0, 0, 320, 240).warp(canvas(image), 320, 240, mode)
        np.testing.assert_allclose(whole[0, 1], image, atol=1e-3)
    mirrored = window(0, 0, 320, 240, mirrored=True).warp(canvas(image), 320, 240, "bilinear")
    np.testing.assert_allclose(mirrored[0, 1], image[:, ::-1], atol=1e-3)


def test_hand_worked_window() -> None:
    # The window from (20, 10), 40 wide and 20 high; the face 30 15 40 25 lies at a quarter.
    face = torch.tensor([[[30.0, 15, 40, 25]]])
    for mirrored, expected in ((False, [0.25, 0.25, 0.5, 0.75]), (True, [0.5, 0.25, 0.75, 0.75])):
        placed = window(20, 10, 40, 20, mirrored=mirrored).place(face)[0, 0]
        torch.testing.assert_close(placed, torch.tensor(expected))


@pytest.fixture
def pool(tiny: list[Sample], tmp_path: Path) -> Pool:
    return Pool(tiny, ImageCache(tiny, tmp_path / "cache", 128))


@pytest.mark.parametrize("kind", ["whole", "crop", "aimed", "expand"])
def test_every_kind_of_window_shows_some_of_the_image(kind: str, pool: Pool) -> None:
    shares = dict.fromkeys(("whole", "crop", "aimed", "expand"), 0.0) | {kind: 1.0}
    plan = Augmentation(**shares, face_sizes=(9, 60))  # type: ignore[arg-type]
    indices = torch.arange(8).repeat(40)
    windows = draw_windows(pool, indices, 160, 120, plan, Draws(0, len(indices)))
    corner, extent = windows.rectangles[:, :2], windows.rectangles[:, 2:]
    shown = torch.minimum(pool.sizes[indices], corner + extent) - corner.clamp(min=0)
    assert float((shown / torch.minimum(extent, pool.sizes[indices])).min()) > 0.3
    if kind == "aimed":
        placed = windows.place(pool.boxes[indices])
        centers = (placed[..., :2] + placed[..., 2:]) / 2
        inside = ((centers > 0) & (centers < 1)).all(2) & (pool.scores[indices] > 0)
        assert float(inside.any(1).float().mean()) > 0.95


def test_proportions_are_the_images_or_the_inputs(pool: Pool) -> None:
    """Images are square: stretched to 2:1 they are twice as wide, and kept they are not."""
    indices = torch.arange(8).repeat(20)
    for stretch, keep, expected in ((1.0, 0.0, 1.0), (0.0, 1.0, 2.0)):
        plan = Augmentation(stretch=stretch, keep=keep)
        extent = draw_windows(pool, indices, 256, 128, plan, Draws(1, 160)).rectangles[:, 2:]
        proportions = extent[:, 0] / extent[:, 1]
        assert float((proportions.log() - np.log(expected)).abs().max()) < 0.11


def test_batches_repeat_and_two_processes_share_them(pool: Pool) -> None:
    specs = [ModelSpec("a", "slim", 96, 64), ModelSpec("b", "slim", 64, 96)]

    def batches(share: tuple[int, int]) -> list[torch.Tensor]:
        plan = Augmentation()
        drawn = Batches(pool, range(8), specs, plan, 4, scales=[2.0], seed=3, share=share)
        return [
            torch.cat([b.images.mean((2, 3)), b.views[2.0].mean((2, 3))], 1) for b in drawn.epoch(0)
        ]

    once, again = batches((0, 1)), batches((0, 1))
    both = batches((0, 2)), batches((1, 2))
    halves = [torch.stack(pair, 1).flatten(0, 1) for pair in zip(*both, strict=True)]
    for one, two, joined in zip(once, again, halves, strict=True):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(one, joined)


def test_colours_change_no_shape_and_neutral_ones_nothing() -> None:
    images = torch.rand(6, 3, 24, 32) * 1.9 - 0.95
    neutral = Colours.draw(STILL, Draws(0, 6)).apply(images)
    torch.testing.assert_close(neutral, images, rtol=0, atol=1e-3)
    changed = Colours.draw(Augmentation(photometric=1, noise=1), Draws(1, 6)).apply(images)
    assert changed.shape == images.shape and float(changed.abs().max()) <= 1
    assert float((changed - images).abs().mean()) > 0.05


def test_hue_and_saturation_leave_gray_alone() -> None:
    gray = (torch.rand(4, 1, 8, 8) * 1.8 - 0.9).expand(4, 3, 8, 8)
    mix = Colours.draw(Augmentation(photometric=1), Draws(2, 4)).mix
    torch.testing.assert_close(torch.einsum("bij,bjhw->bihw", mix, gray), gray, atol=1e-5, rtol=0)
