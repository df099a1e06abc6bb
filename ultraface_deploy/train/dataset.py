"""From samples to what the training step reads: views of an image and anchor targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from ultraface_deploy.data.cache import Image, ImageCache
from ultraface_deploy.data.samples import Sample
from ultraface_deploy.spec import ModelSpec
from ultraface_deploy.train.augment import Augmentation, Colours, choose_window, visible_faces
from ultraface_deploy.train.matching import match


@dataclass
class Batch:
    """B samples: the student's view, the teacher's, and the targets from the labels.

    `images` (B, 3, H, W) uint8 RGB; `teacher_images` the same windows at the teacher's size (the
    same tensor where the sizes agree); `labels` (B, A) int64 and `offsets` (B, A, 4) float32 as
    in `matching.Targets`.
    """

    images: torch.Tensor
    teacher_images: torch.Tensor
    labels: torch.Tensor
    offsets: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on that device."""
        shared = self.teacher_images is self.images
        images = self.images.to(device, non_blocking=True)
        return Batch(
            images,
            images if shared else self.teacher_images.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.offsets.to(device, non_blocking=True),
        )


Item = tuple[Image, Image | None, npt.NDArray[np.int64], npt.NDArray[np.float32]]


class Faces(Dataset[Item]):
    """Augmented samples; each is a function of (seed, epoch, index) alone.

    So the order of work, the number of loader processes and a resume change nothing.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        cache: ImageCache,
        spec: ModelSpec,
        plan: Augmentation,
        teacher_size: tuple[int, int] | None = None,
        seed: int = 0,
    ) -> None:
        self.samples, self.cache, self.spec, self.plan = samples, cache, spec, plan
        size = (spec.width, spec.height)
        self.teacher_size = None if teacher_size == size else teacher_size
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        """Draw one augmentation of one sample."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        sample, (image, factor) = self.samples[index], self.cache[index]
        boxes = sample.boxes * np.float32(factor)
        size = (self.spec.width, self.spec.height)
        window = choose_window((image.shape[1], image.shape[0]), boxes, size, self.plan, rng)
        colours = Colours.draw(self.plan.photometric, rng)
        faces, ignored = visible_faces(
            window.place(boxes), sample.ignored, size, self.plan.min_face
        )
        targets = match(faces, ignored, self.spec)
        return (
            colours.apply(window.warp(image, *size)),
            self.teacher_size and colours.apply(window.warp(image, *self.teacher_size)),
            targets.labels,
            targets.offsets,
        )


def collate(items: Sequence[Item]) -> Batch:
    """Stack items into a batch."""
    images = _stack([item[0] for item in items])
    larger = [item[1] for item in items if item[1] is not None]
    return Batch(
        images,
        _stack(larger) if larger else images,
        torch.from_numpy(np.stack([item[2] for item in items])),
        torch.from_numpy(np.stack([item[3] for item in items])),
    )


def normalise(images: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """(B, 3, H, W) uint8 RGB to what the network reads, float32 channels-last."""
    mean = torch.tensor(spec.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(spec.std, device=images.device).view(1, 3, 1, 1)
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def _stack(images: Sequence[Image]) -> torch.Tensor:
    rgb = np.stack(images)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2)
