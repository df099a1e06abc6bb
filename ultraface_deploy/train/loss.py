"""The SSD multibox loss (Liu et al. 2016, section 2.2) on the labels."""

from __future__ import annotations

import torch
from torch.nn import functional

from ultraface_deploy.train.matching import BACKGROUND, IGNORE
from ultraface_deploy.train.processes import joint_mean


def multibox_loss(
    logits: torch.Tensor,
    offsets: torch.Tensor,
    labels: torch.Tensor,
    target_offsets: torch.Tensor,
    negatives_per_positive: int = 3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the classification and the box loss, both per matched anchor.

    Args:
        logits: (B, A, C).
        offsets: (B, A, 4) as the network emits them.
        labels: (B, A) int64, see `matching.Targets`.
        target_offsets: (B, A, 4).
        negatives_per_positive: how many of the hardest background anchors of an image count.
    """
    entropies = functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none"
    )
    positive = labels > BACKGROUND
    counted = positive | hard_negatives(entropies.detach(), labels, negatives_per_positive)
    # Masks instead of indices: how many there are is then never asked of the GPU.
    boxes = functional.smooth_l1_loss(offsets, target_offsets, reduction="none").sum(dim=2)
    positives = joint_mean(positive.sum().float()).clamp(min=1)
    entropy = torch.where(counted, entropies, 0.0).sum()
    return entropy / positives, torch.where(positive, boxes, 0.0).sum() / positives


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
