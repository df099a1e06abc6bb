"""Augmentation on whole batches: windows of the images, warped to the network input, and colours.

Expanding, cropping, stretching, mirroring and resizing are all affine, so each sample is
interpolated once. Everything is a tensor operation and runs where the pixels are, CPU or GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from ultraface_deploy.train.pool import Pool
from ultraface_deploy.train.recipe import Augmentation


@dataclass(frozen=True)
class Windows:
    """A rectangle of each of B images; it may reach beyond the image.

    `rectangles` (B, 4) float32 x, y, width, height in pixels of the image; `mirrored` (B,) bool.
    """

    rectangles: torch.Tensor
    mirrored: torch.Tensor

    def __getitem__(self, rows: slice) -> Windows:
        return Windows(self.rectangles[rows], self.mirrored[rows])

    def warp(self, canvases: torch.Tensor, width: int, height: int, mode: str) -> torch.Tensor:
        """Return what lies in the windows as (B, 3, height, width); 0 where there is no image.

        Args:
            canvases: (B, 3, S, S) float, 0 beyond the images.
            width: of the result in pixels.
            height: of the result in pixels.
            mode: bilinear or nearest.
        """
        x, y, wide, high = (self.rectangles / canvases.shape[-1]).unbind(1)
        sign = torch.where(self.mirrored, -1.0, 1.0)
        zero = torch.zeros_like(x)
        # From -1..1 over the output to -1..1 over the canvas; pixel centres lie inside both.
        across = torch.stack([sign * wide, zero, 2 * x + wide - 1], 1)
        down = torch.stack([zero, high, 2 * y + high - 1], 1)
        grid = functional.affine_grid(
            torch.stack([across, down], 1), [len(x), 3, height, width], align_corners=False
        )
        return functional.grid_sample(canvases, grid, mode, align_corners=False)

    def place(self, boxes: torch.Tensor) -> torch.Tensor:
        """Return boxes (B, F, 4) of the images as corners in 0..1 of the windows, not clipped."""
        x, y, wide, high = self.rectangles[:, None].unbind(2)
        x1, y1, x2, y2 = boxes.unbind(2)
        x1, x2, y1, y2 = (x1 - x) / wide, (x2 - x) / wide, (y1 - y) / high, (y2 - y) / high
        mirrored = self.mirrored[:, None]
        left, right = torch.where(mirrored, 1 - x2, x1), torch.where(mirrored, 1 - x1, x2)
        return torch.stack([left, y1, right, y2], 2)


class Draws:
    """Random numbers of one batch, the same on every run: a function of the seed alone."""

    def __init__(self, seed: int, count: int) -> None:
        # Drawn on the CPU, so that a GPU sees the same windows.
        self._generator = torch.Generator().manual_seed(seed)
        self._count = count

    def uniform(self, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Return (B,) float32 between low and high."""
        return low + (high - low) * torch.rand(self._count, generator=self._generator)

    def chance(self, share: float) -> torch.Tensor:
        """Return (B,) bool, true with that chance."""
        return self.uniform() < share

    def kinds(self, *shares: float) -> torch.Tensor:
        """Return (B,) int64, the number of a share, drawn in proportion."""
        return torch.multinomial(
            torch.tensor(shares, dtype=torch.float32),
            self._count,
            replacement=True,
            generator=self._generator,
        )


def draw_windows(
    pool: Pool, indices: torch.Tensor, width: int, height: int, plan: Augmentation, draws: Draws
) -> Windows:
    """Draw a window for each of the images `indices` (B,), on the CPU.

    Args:
        pool: sizes and faces are read from it.
        indices: (B,) int64, which images.
        width: of the network input, whose proportions some windows have.
        height: of the network input.
        plan: shares and ranges.
        draws: where the random numbers come from.
    """
    sizes = pool.sizes[indices]
    face, has_face = pool.one_face(indices, draws.uniform())
    kind = draws.kinds(plan.whole, plan.crop, plan.aimed, plan.expand)
    kind = torch.where((kind == 2) & ~has_face, 1, kind)

    # Proportions: the image's, the input's, or between.
    own, inputs = (sizes[:, 0] / sizes[:, 1]).log(), math.log(width / height)
    blend = draws.uniform()
    which = draws.uniform()
    blend = torch.where(which < plan.stretch + plan.keep, 1.0, blend)
    blend = torch.where(which < plan.stretch, 0.0, blend)
    proportion = (own + (inputs - own) * blend + draws.uniform(-0.1, 0.1)).exp()
    # The smallest window of these proportions that holds the whole image; where that would show
    # little but emptiness, a smaller one.
    inside = torch.minimum(sizes[:, 0], sizes[:, 1] * proportion)
    cover = torch.maximum(sizes[:, 0], sizes[:, 1] * proportion).minimum(1.4 * inside)

    lowest = torch.maximum(0.2 * cover, 0.4 * torch.full_like(cover, width))
    area = (face[:, 2:] - face[:, :2]).clamp(min=1).prod(1) * (width * height)
    wanted = draws.uniform(*map(math.log, plan.face_sizes)).exp()
    aimed = (area * proportion).sqrt() / wanted
    aimed = torch.minimum(torch.maximum(aimed, torch.minimum(lowest, cover)), 1.6 * cover)
    wide = torch.stack(
        [
            cover * draws.uniform(0.88, 1.04),
            cover * draws.uniform(math.log(0.3), 0.0).exp(),
            aimed,
            cover * draws.uniform(1, plan.max_expand),
        ]
    )[kind, torch.arange(len(kind))]
    extent = torch.stack([wide, wide / proportion], 1)

    # Anywhere that shows as much of the image as this size can; on a face where it is aimed at.
    spare = sizes - extent
    where = torch.stack([draws.uniform(), draws.uniform()], 1)
    beside = torch.stack([draws.uniform(0.1, 0.9), draws.uniform(0.1, 0.9)], 1)
    middle = (face[:, :2] + face[:, 2:]) / 2 - beside * extent
    on_face = torch.maximum(torch.minimum(middle, spare.clamp(min=0)), spare.clamp(max=0))
    corner = torch.where((kind == 2)[:, None], on_face, where * spare)
    return Windows(torch.cat([corner, extent], 1), draws.chance(plan.mirror))


@dataclass(frozen=True)
class Colours:
    """The photometric distortion of B images, as numbers to apply where the pixels are.

    `mix` (B, 3, 3) turns hue and saturation; `gamma`, `gain`, `offset` and `noise` are (B,), the
    last two in units of the network input.
    """

    mix: torch.Tensor
    gamma: torch.Tensor
    gain: torch.Tensor
    offset: torch.Tensor
    noise: torch.Tensor

    @classmethod
    def draw(cls, plan: Augmentation, draws: Draws) -> Colours:
        """Draw brightness, contrast, gamma, saturation and hue, each with the plan's chance."""

        def varied(neutral: float, low: float, high: float) -> torch.Tensor:
            return torch.where(draws.chance(plan.photometric), draws.uniform(low, high), neutral)

        saturation = varied(1.0, 0.3, 1.6)
        saturation = torch.where(draws.chance(0.1 * plan.photometric), 0.0, saturation)
        return cls(
            _colour_matrix(varied(0.0, -0.4, 0.4), saturation),
            varied(0.0, -0.4, 0.4).exp(),
            varied(1.0, 0.6, 1.4),
            varied(0.0, -0.25, 0.25),
            draws.chance(plan.noise) * draws.uniform(0.0, 0.1),
        )

    def __getitem__(self, rows: slice) -> Colours:
        return Colours(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def to(self, device: torch.device) -> Colours:
        """Return the numbers on that device."""
        return Colours(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def apply(self, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the images (B, 3, H, W), RGB in -1..1, with these colours and noise."""

        def each(values: torch.Tensor) -> torch.Tensor:
            return values[:, None, None, None].to(images.dtype)

        mixed = torch.einsum("bij,bjhw->bihw", self.mix.to(images.dtype), images)
        levels = ((mixed + 1) / 2).clamp(1e-4, 1) ** each(self.gamma)
        images = (2 * levels - 1) * each(self.gain) + each(self.offset)
        if self.noise.any():
            noise = torch.randn(images.shape, generator=generator, device=images.device)
            images = images + each(self.noise) * noise.to(images.dtype)
        return images.clamp(-1, 1)


def _colour_matrix(hue: torch.Tensor, saturation: torch.Tensor) -> torch.Tensor:
    """Return (B, 3, 3): turn colours about the gray axis by `hue` radians, scale their distance.

    The turn is Rodrigues' formula about (1, 1, 1) / sqrt(3).
    """
    gray = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cosine, sine = hue.cos()[:, None, None], hue.sin()[:, None, None]
    turned = cosine * (torch.eye(3) - gray) + sine * cross
    return gray + saturation[:, None, None] * turned
