"""A data set as tensors: every image on one canvas, every face in one table."""

# Tested by tests/train/test_augment.py.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.seen import Seen


class Pool:
    """Pixels where the network runs, sizes and faces beside them.

    `sizes` (N, 2) float32 width and height on the CPU; `boxes` (N, F, 4) float32 corners in pixels
    of the canvas, `scores` (N, F) float32 (0 no face, 1 a face, -1 one to ignore) and `labels`
    (N, F) int64, the classes from 1, on the device.
    """

    def __init__(
        self, samples: Sequence[Sample], cache: ImageCache, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self._cache = cache
        self._canvases = None if cache.whole is None else torch.from_numpy(cache.whole)
        if self._canvases is not None and _fits(self._canvases, self.device):
            self._canvases = self._canvases.to(self.device)
        self.sizes = torch.from_numpy(cache.sizes.astype(np.float32))
        most = max(1, *(len(sample) for sample in samples)) if samples else 1
        boxes = np.zeros((len(samples), most, 4), np.float32)
        scores = np.zeros((len(samples), most), np.float32)
        labels = np.ones((len(samples), most), np.int64)
        for row, sample in enumerate(samples):
            boxes[row, : len(sample)] = sample.boxes * np.float32(cache.factors[row])
            scores[row, : len(sample)] = np.where(sample.ignored, -1, 1)
            labels[row, : len(sample)] = sample.labels
        self._host_boxes = torch.from_numpy(boxes)
        self._counts = torch.from_numpy((scores != 0).sum(axis=1))
        self.boxes, self.scores = self._host_boxes.to(device), torch.from_numpy(scores).to(device)
        self.labels = torch.from_numpy(labels).to(device)
        self.seen: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def add_seen(self, name: str, seen: Sequence[Seen], most: int = 300) -> None:
        """Add what a teacher saw in every image: up to `most` faces, the surest."""
        faces = np.zeros((len(seen), min(most, max(1, *map(len, seen))), 5), np.float32)
        for row, each in enumerate(seen):
            faces[row, : len(each)] = each[: faces.shape[1]]
        table = torch.from_numpy(faces).to(self.device)
        self.seen[name] = (table[..., :4], table[..., 4], torch.ones_like(table[..., 4]).long())

    def pixels(self, indices: torch.Tensor) -> torch.Tensor:
        """Return canvases (B, 3, S, S) uint8 on the device."""
        if self._canvases is None:
            chosen = torch.from_numpy(self._cache.canvases(indices.tolist()))
        else:
            chosen = self._canvases[indices.to(self._canvases.device)]
        return chosen.to(self.device, non_blocking=True)

    def one_face(
        self, indices: torch.Tensor, where: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one face (B, 4) of each image, chosen by `where` in 0..1, and whether it has one.

        On the CPU; faces that are ignored may be chosen too.
        """
        counts = self._counts[indices]
        rows = (where * counts).long().clamp(max=self._host_boxes.shape[1] - 1)
        return self._host_boxes[indices, rows], counts > 0


def _fits(canvases: torch.Tensor, device: torch.device) -> bool:
    """Whether the device is a GPU with three times the memory free that the pixels take."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return 3 * canvases.numel() < free
