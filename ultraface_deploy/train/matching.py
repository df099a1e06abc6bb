"""Which anchor answers for which face: SSD matching (Liu et al. 2016, section 2.2), on batches.

The faces of a batch are one list (M, 4) with the sample of each: images with one face and with
three hundred then cost what they hold, not what the fullest holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import make_anchors

IGNORE, BACKGROUND, FACE = -1, 0, 1
_MOST_LOG_SIZE = 6.0


@dataclass
class Targets:
    """What each of A anchors should say, for B samples.

    `labels` (B, A) int64: IGNORE, BACKGROUND or a class from 1; `offsets` (B, A, 4) float32,
    encoded, meaningful where `labels` is a class.
    """

    labels: torch.Tensor
    offsets: torch.Tensor


@dataclass
class FaceList:
    """M faces of B samples.

    `boxes` (M, 4) corners in 0..1 of the window; `sample` (M,) int64, whose they are; `ignored`
    (M,) bool, neither to be found nor background; `scores` (M,), how sure it is that each is one;
    `labels` (M,) int64, the class of each from 1.
    """

    boxes: torch.Tensor
    sample: torch.Tensor
    ignored: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


class Anchors(nn.Module):
    """The anchors of a network as tensors: centre form and corners (A, 4) in 0..1."""

    centers: torch.Tensor
    corners: torch.Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.coding = spec.anchors
        centers = torch.from_numpy(make_anchors(spec).copy())
        half = centers[:, 2:] / 2
        self.register_buffer("centers", centers)
        self.register_buffer(
            "corners", torch.cat([centers[:, :2] - half, centers[:, :2] + half], 1)
        )

    def encode(self, boxes: torch.Tensor) -> torch.Tensor:
        """Corners (..., A, 4) in 0..1, one for each anchor, to offsets (..., A, 4)."""
        sizes = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-6)
        centers = (boxes[..., :2] + boxes[..., 2:]) / 2
        return torch.cat(
            [
                (centers - self.centers[:, :2]) / self.centers[:, 2:] / self.coding.center_variance,
                (sizes / self.centers[:, 2:]).log() / self.coding.size_variance,
            ],
            dim=-1,
        )

    def decode(self, offsets: torch.Tensor) -> torch.Tensor:
        """Offsets (..., A, 4) to corners (..., A, 4) in 0..1; `encode` turned round."""
        centers = offsets[..., :2] * self.coding.center_variance * self.centers[:, 2:]
        centers = centers + self.centers[:, :2]
        # A wild offset of a network that has just begun must not overflow.
        sizes = (offsets[..., 2:] * self.coding.size_variance).clamp(max=_MOST_LOG_SIZE).exp()
        half = sizes * self.centers[:, 2:] / 2
        return torch.cat([centers - half, centers + half], dim=-1)

    def overlaps(self, boxes: torch.Tensor) -> torch.Tensor:
        """Return the IoU (M, A) of corners (M, 4) with every anchor."""
        shared = torch.ones((), device=boxes.device)
        for axis in (0, 1):
            low = torch.maximum(boxes[:, axis, None], self.corners[None, :, axis])
            high = torch.minimum(boxes[:, axis + 2, None], self.corners[None, :, axis + 2])
            shared = shared * (high - low).clamp(min=0)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        own = (self.corners[:, 2:] - self.corners[:, :2]).prod(1)
        return shared / (area[:, None] + own[None] - shared).clamp(min=1e-12)


def visible_faces(
    placed: torch.Tensor,
    scores: torch.Tensor,
    labels: torch.Tensor,
    width: int,
    height: int,
    min_face: float,
) -> FaceList:
    """Clip faces to their windows and decide which count.

    A face counts when its centre lies in the window, as in the published training; one that is
    only partly visible or smaller than `min_face` pixels is ignored; one outside is dropped.

    Args:
        placed: (B, F, 4) corners in 0..1 of the window, not clipped.
        scores: (B, F) how sure it is a face: 0 for none, below 0 for one to ignore.
        labels: (B, F) int64 class of each.
        width: of the network input in pixels.
        height: of the network input in pixels.
        min_face: smallest side in pixels of the input, as the mean of width and height.
    """
    clipped = placed.clamp(0, 1)
    sizes = clipped[..., 2:] - clipped[..., :2]
    sample, row = ((sizes > 0).all(2) & (scores != 0)).nonzero(as_tuple=True)
    centers = (placed[..., :2] + placed[..., 2:]) / 2
    outside = ((centers < 0) | (centers > 1)).any(2)
    small = (sizes[..., 0] * width + sizes[..., 1] * height) / 2 < min_face
    ignored = outside | small | (scores < 0)
    return FaceList(
        clipped[sample, row],
        sample,
        ignored[sample, row],
        scores[sample, row].abs(),
        labels[sample, row],
    )


def match(faces: FaceList, batch: int, anchors: Anchors, iou_threshold: float = 0.35) -> Targets:
    """Assign faces to anchors.

    An anchor takes the face it overlaps most if their IoU reaches the threshold; beyond that,
    every face takes its best anchor, so that none goes unassigned; where two want the same, a
    real face goes before an ignored one. An anchor whose face is ignored counts as nothing.

    Args:
        faces: of all samples.
        batch: number of samples.
        anchors: of the network.
        iou_threshold: 0.35 is the published training's.
    """
    count, faces_here = len(anchors.centers), len(faces.boxes)
    labels = torch.zeros(batch, count, dtype=torch.int64, device=anchors.centers.device)
    if not faces_here:
        return Targets(labels, torch.zeros(batch, count, 4, device=labels.device))
    overlaps = anchors.overlaps(faces.boxes)
    best, row = best_row(overlaps, faces.sample, batch)
    row = row.masked_fill(best < iou_threshold, -1)
    # Forced matches: the face of the highest rank, real ones above ignored ones.
    rank = torch.arange(faces_here, device=labels.device) + faces_here * ~faces.ignored
    peak, anchor = overlaps.max(1)
    rank = rank.masked_fill(peak <= 0, -1)
    forced = torch.full((batch * count,), -1, device=labels.device, dtype=torch.int64)
    forced.scatter_reduce_(0, faces.sample * count + anchor, rank, "amax")
    forced = forced.view(batch, count)
    row = torch.where(forced >= 0, forced % faces_here, row)
    taken, row = row >= 0, row.clamp(min=0)
    labels = torch.where(taken, torch.where(faces.ignored[row], IGNORE, faces.labels[row]), labels)
    return Targets(labels, anchors.encode(faces.boxes[row]))


def best_row(
    values: torch.Tensor, sample: torch.Tensor, batch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each sample and column the largest of its rows, and which row that is.

    Args:
        values: (M, A), not negative.
        sample: (M,) int64, the sample each row belongs to.
        batch: number of samples.

    Returns:
        (B, A) largest values, 0 where there is none, and (B, A) int64 rows of `values`, the last
        of those that are equal; -1 where the sample has none.
    """
    index = sample[:, None].expand_as(values)
    best = torch.zeros(batch, values.shape[1], dtype=values.dtype, device=values.device)
    best.scatter_reduce_(0, index, values, "amax")
    rows = torch.arange(len(values), device=values.device)[:, None].expand_as(values)
    row = torch.full(best.shape, -1, dtype=torch.int64, device=values.device)
    row.scatter_reduce_(0, index, rows.masked_fill(values < best[sample], -1), "amax")
    return best, row
