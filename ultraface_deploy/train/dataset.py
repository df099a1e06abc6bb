"""From samples to what the training step reads: views of an image and anchor targets."""

# Tested by tests/train/test_distill.py.

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.train.augment import (
    Augmentation,
    Colours,
    choose_window,
    seen_faces,
    visible_faces,
)
from ultraface_deploy.train.data.cache import Image, ImageCache
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.matching import match

# Of R, G and B in a gray picture: ITU-R BT.601, as OpenCV has it.
_GRAY = (0.299, 0.587, 0.114)
Key = tuple[int, int]  # which of the recurring windows, and which sample


@dataclass
class Batch:
    """B samples: the student's view, the teacher's where asked for, and the labels' targets.

    `images` (B, 3, H, W) uint8 RGB; `teacher_images` (M, 3, H', W') the same windows at the
    teacher's size, for the M samples `asked` (positions in the batch);
    `labels` (B, A) int64 and `offsets` (B, A, 4) float32 as in `matching.Targets`; `keys` name
    the windows.
    """

    images: torch.Tensor
    teacher_images: torch.Tensor | None
    asked: list[int]
    labels: torch.Tensor
    offsets: torch.Tensor
    keys: list[Key]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on that device."""
        views = self.teacher_images
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            teacher_images=None if views is None else views.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            offsets=self.offsets.to(device, non_blocking=True),
        )


Item = tuple[Image, Image | None, npt.NDArray[np.int64], npt.NDArray[np.float32], Key]


class Faces(Dataset[Item]):
    """Augmented samples; each is a function of (seed, epoch, index) alone.

    So the order of work, the number of loader processes and a resume change nothing.

    Args:
        samples: the images and their faces.
        cache: their pixels.
        spec: the student.
        plan: how samples are varied.
        teacher_size: (width, height) of the teacher's view; None for no view.
        seed: of all draws.
        windows: windows drawn for each image, which then recur with other colours; 0 draws a
            new one every epoch.
        answered: windows whose teacher's view is not needed, because its answer is known.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        cache: ImageCache,
        spec: ModelSpec,
        plan: Augmentation,
        *,
        teacher_size: tuple[int, int] | None = None,
        seed: int = 0,
        windows: int = 0,
        answered: Container[Key] = (),
    ) -> None:
        self.samples, self.cache, self.spec, self.plan = samples, cache, spec, plan
        self.teacher_size, self.seed = teacher_size, seed
        self.windows, self.answered, self.epoch = windows, answered, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        """Draw one augmentation of one sample."""
        sample, (image, factor) = self.samples[index], self.cache[index]
        key = (self.epoch % self.windows if self.windows else self.epoch, index)
        rng = np.random.default_rng((self.seed, *key))
        boxes = sample.boxes * np.float32(factor)
        size = (self.spec.width, self.spec.height)
        window = choose_window((image.shape[1], image.shape[0]), boxes, size, self.plan, rng)
        rng = np.random.default_rng((self.seed, self.epoch, index, 1))
        colours = Colours.draw(self.plan.photometric, rng)
        placed = window.place(boxes)
        faces, ignored = visible_faces(placed, sample.ignored, size, self.plan.min_face)
        classes = sample.labels[seen_faces(placed)]
        targets = match(faces, ignored, self.spec, classes=classes)
        view = None
        if self.teacher_size and key not in self.answered:
            view = window.warp(image, *self.teacher_size)
            # An answer that is remembered serves all colours, so it is asked in the true ones.
            view = view if self.windows else colours.apply(view)
        return colours.apply(window.warp(image, *size)), view, targets.labels, targets.offsets, key


def collate(items: Sequence[Item]) -> Batch:
    """Stack items into a batch."""
    images, views, labels, offsets, keys = zip(*items, strict=True)
    asked = [position for position, view in enumerate(views) if view is not None]
    return Batch(
        _stack(images),
        _stack([views[position] for position in asked]) if asked else None,
        asked,
        torch.from_numpy(np.stack(labels)),
        torch.from_numpy(np.stack(offsets)),
        list(keys),
    )


def normalise(images: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """(B, 3, H, W) uint8 RGB to what the network reads, float32 channels-last."""
    pixels, channels = images.float(), spec.channels
    if spec.color == "gray":
        weights = torch.tensor(_GRAY, device=images.device).view(1, 3, 1, 1)
        pixels = (pixels * weights).sum(dim=1, keepdim=True).round()
    elif spec.color == "bgr":
        pixels = pixels.flip(1)
    mean = torch.tensor(spec.mean[:channels], device=images.device).view(1, channels, 1, 1)
    std = torch.tensor(spec.std[:channels], device=images.device).view(1, channels, 1, 1)
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def _stack(images: Sequence[Image]) -> torch.Tensor:
    rgb = np.stack(images)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2)
