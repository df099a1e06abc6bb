"""The losses on the labels: SSD's multibox loss (Liu et al. 2016, section 2.2), and overlap."""

from __future__ import annotations

import torch
from torch.nn import functional

from ultraface_deploy.train.matching import BACKGROUND, IGNORE
from ultraface_deploy.train.processes import joint_mean

_TINY = 1e-12


def multibox_loss(
    logits: torch.Tensor,
    offsets: torch.Tensor,
    labels: torch.Tensor,
    target_offsets: torch.Tensor,
    negatives_per_positive: int = 3,
    quality: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the classification and the box loss, both per matched anchor.

    Args:
        logits: (B, A, C).
        offsets: (B, A, 4) as the network emits them.
        labels: (B, A) int64, see `matching.Targets`.
        target_offsets: (B, A, 4).
        negatives_per_positive: how many of the hardest background anchors of an image count.
        quality: (B, A), what a matched anchor should score instead of 1.
    """
    entropies = functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none"
    )
    positive = labels > BACKGROUND
    if quality is not None:
        background = -logits.log_softmax(2)[..., BACKGROUND]
        entropies = torch.where(
            positive, quality * entropies + (1 - quality) * background, entropies
        )
    counted = positive | hard_negatives(entropies.detach(), labels, negatives_per_positive)
    # Masks instead of indices: how many there are is then never asked of the GPU.
    boxes = functional.smooth_l1_loss(offsets, target_offsets, reduction="none").sum(dim=2)
    positives = joint_mean(positive.sum().float()).clamp(min=1)
    entropy = torch.where(counted, entropies, 0.0).sum()
    return entropy / positives, torch.where(positive, boxes, 0.0).sum() / positives


def overlap_loss(generalised: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return 1 - GIoU, the mean over the matched anchors (Rezatofighi et al. 2019).

    Args:
        generalised: (B, A) GIoU of each anchor's box with that of its face.
        labels: (B, A) int64, see `matching.Targets`.
    """
    positive = labels > BACKGROUND
    positives = joint_mean(positive.sum().float()).clamp(min=1)
    return torch.where(positive, 1 - generalised, 0.0).sum() / positives


def iou_and_giou(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return IoU and generalised IoU (...) of corners (..., 4), pair by pair.

    Neither changes where the axes are scaled, so boxes may be in shares of the picture.
    """
    sizes = [each[..., 2:] - each[..., :2] for each in (one, other)]
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (sizes[0].prod(-1) + sizes[1].prod(-1) - shared).clamp(min=_TINY)
    first = torch.minimum(one[..., :2], other[..., :2])
    last = torch.maximum(one[..., 2:], other[..., 2:])
    hull = (last - first).prod(-1).clamp(min=_TINY)
    overlaps = shared / union
    return overlaps, overlaps - (hull - union) / hull


def hard_negatives(losses: torch.Tensor, labels: torch.Tensor, ratio: int) -> torch.Tensor:
    """Choose the background anchors (B, A) with the largest losses, `ratio` for each positive.

    An image without faces still gives `ratio` negatives, so that it teaches something.
    """
    wanted = ratio * (labels > BACKGROUND).sum(dim=1, keepdim=True).clamp(min=1)
    losses = losses.masked_fill(labels != BACKGROUND, -1.0)
    order = losses.argsort(dim=1, descending=True)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
    return (rank < wanted) & (labels == BACKGROUND)
