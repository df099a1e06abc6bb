"""From the pool to what a training step reads: views of windows, and what the labels ask for."""

# Tested by tests/train/test_augment.py.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import torch

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.train.augment import Colours, Draws, Windows, draw_windows
from ultraface_deploy.train.matching import Anchors, FaceList, visible_faces
from ultraface_deploy.train.pool import Pool
from ultraface_deploy.train.recipe import Augmentation

# Levels of pixels to -1..1, in which colours are varied, and gray in between.
_MIDDLE, _HALF = 127.0, 128.0
# Of R, G and B in a gray picture: ITU-R BT.601, as OpenCV has it.
_GRAY = (0.299, 0.587, 0.114)


@dataclass
class Batch:
    """B windows: the student's view, the teachers' by scale, and the faces in them.

    `spec` is the student at this batch's input size, `anchors` its anchors; `images`
    (B, C, H, W) float32 as the network reads them; `faces` the labels'; `seen` those that the
    teachers saw in the pictures, by name; `views` the same windows in their true colours, (B, 3,
    H, W) float32 RGB in 0..255, scaled by the key.
    """

    spec: ModelSpec
    anchors: Anchors
    images: torch.Tensor
    faces: FaceList
    seen: dict[str, FaceList] = field(default_factory=dict)
    views: dict[float, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


class Batches:
    """Draws batches from a pool; each is a function of (seed, epoch, step) alone.

    Args:
        pool: pixels and faces.
        training: which of its images are drawn.
        specs: the student at every input size; a batch has one of them, drawn evenly.
        plan: how samples are varied.
        batch_size: windows in a batch.
        scales: of the teachers' views, relative to the student's.
        seed: of all draws.
        share: this process' number and how many share a batch.
    """

    def __init__(
        self,
        pool: Pool,
        training: Sequence[int],
        specs: Sequence[ModelSpec],
        plan: Augmentation,
        batch_size: int,
        *,
        scales: Sequence[float] = (),
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.pool, self.training, self.specs, self.plan = pool, np.array(training), specs, plan
        self.batch_size, self.scales, self.seed = batch_size, sorted(set(scales)), seed
        self.share = share
        self._anchors = {spec: Anchors(spec) for spec in specs}
        self.steps = max(1, len(training) // batch_size)

    def epoch(self, number: int, first: int = 0, most: int | None = None) -> Iterator[Batch]:
        """Yield this process' share of the batches of an epoch, from the step `first` on."""
        order = np.random.default_rng((self.seed, number + 1)).permutation(self.training)
        parts = np.array_split(order[: self.steps * self.batch_size], self.steps)
        for step, part in enumerate(parts[first:most], first):
            yield self._batch(
                torch.from_numpy(part), crc32(f"{self.seed}/{number}/{step}".encode())
            )

    @torch.no_grad()
    def _batch(self, indices: torch.Tensor, seed: int) -> Batch:
        spec = self.specs[seed % len(self.specs)]
        draws = Draws(seed, len(indices))
        windows = draw_windows(self.pool, indices, spec.width, spec.height, self.plan, draws)
        colours = Colours.draw(self.plan, draws)
        mode = "nearest" if draws.chance(self.plan.nearest)[0] else "bilinear"
        mine = slice(*self.share[:1], None, self.share[1])
        indices, windows, colours = indices[mine], windows[mine], colours[mine]
        device = self.pool.device
        windows = Windows(windows.rectangles.to(device), windows.mirrored.to(device))
        canvases = (self.pool.pixels(indices).float() - _MIDDLE) / _HALF
        rows = indices.to(device)
        tables = {"": (self.pool.boxes, self.pool.scores, self.pool.labels)} | self.pool.seen
        lists = {
            name: visible_faces(
                windows.place(boxes[rows]),
                scores[rows],
                labels[rows],
                spec.width,
                spec.height,
                self.plan.min_face,
            )
            for name, (boxes, scores, labels) in tables.items()
        }
        images = windows.warp(canvases, spec.width, spec.height, mode)
        views = {
            scale: levels(
                windows.warp(
                    canvases, round(spec.width * scale), round(spec.height * scale), "bilinear"
                )
            )
            for scale in self.scales
        }
        noise = torch.Generator(device).manual_seed(seed)
        images = normalise(levels(colours.to(device).apply(images, noise)), spec)
        faces = lists.pop("")
        return Batch(spec, self._anchors[spec].to(device), images, faces, lists, views)


def levels(images: torch.Tensor) -> torch.Tensor:
    """Return images in -1..1 as levels of pixels, 0..255."""
    return images * _HALF + _MIDDLE


def normalise(pixels: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """(B, 3, H, W) RGB in 0..255 to what the network reads, float32."""
    pixels, channels = pixels.float(), spec.channels
    if spec.color == "gray":
        weights = torch.tensor(_GRAY, device=pixels.device).view(1, 3, 1, 1)
        pixels = (pixels * weights).sum(dim=1, keepdim=True)
    elif spec.color == "bgr":
        pixels = pixels.flip(1)
    mean = torch.tensor(spec.mean[:channels], device=pixels.device).view(1, channels, 1, 1)
    std = torch.tensor(spec.std[:channels], device=pixels.device).view(1, channels, 1, 1)
    return (pixels - mean) / std
