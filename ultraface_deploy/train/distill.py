"""Distillation from another checkpoint of the family: its features, scores and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import iou_matrix, make_anchors
from ultraface_deploy.train.matching import Anchors
from ultraface_deploy.train.processes import joint_mean


class Taps:
    """Reads what each convolution of a network is given and what it, BatchNorm included, gives.

    ReLUs stop working in place, which changes neither the outputs nor the state dict: before the
    ReLU a channel that is off still has a gradient.
    """

    def __init__(self, net: UltraFace) -> None:
        self.inputs: dict[int, torch.Tensor] = {}
        self.outputs: dict[int, torch.Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        for module in net.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        for number, (conv, norm) in enumerate(convolutions(net)):
            self._keep(conv, norm or conv, number)

    def remove(self) -> None:
        """Take the hooks off the network."""
        for hook in self._hooks:
            hook.remove()

    def _keep(self, first: nn.Module, last: nn.Module, number: int) -> None:
        def given(module: nn.Module, arguments: tuple[torch.Tensor]) -> None:
            self.inputs[number] = arguments[0]

        def gave(module: nn.Module, arguments: tuple[torch.Tensor], output: torch.Tensor) -> None:
            self.outputs[number] = output

        self._hooks.append(first.register_forward_pre_hook(given))
        self._hooks.append(last.register_forward_hook(gave))


def convolutions(net: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Return the convolutions of a network in order, each with the BatchNorm that follows it."""
    found = []
    for module in net.modules():
        for first, second in pairwise([*module.children(), None]):
            if isinstance(first, nn.Conv2d):
                found.append((first, second if isinstance(second, nn.BatchNorm2d) else None))
    return found


def fused(net: UltraFace) -> UltraFace:
    """Fold every BatchNorm of a network in evaluation mode into its convolution; a third faster."""
    for module in net.modules():
        children = list(module.named_children())
        for (name, conv), (next_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, next_name, nn.Identity())
    return net


def feature_loss(
    student: Mapping[int, torch.Tensor],
    teacher: Mapping[int, torch.Tensor],
    scales: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Mean squared difference of outputs (B, C, H, W) in units of the teacher's scale.

    `scales` holds for each convolution the (C,) deviation of the teacher's channels.
    """
    losses = [
        ((student[number] - teacher[number]).square().mean((0, 2, 3)) / scale.square()).mean()
        for number, scale in enumerate(scales)
    ]
    return torch.stack(losses).mean()


class AnchorMap(nn.Module):
    """Carries a teacher's outputs over to the student's anchors.

    Where both have an anchor of the same place and size in the image, it is that one; where the
    inputs differ in size, the nearest few whose IoU with the student's anchor reaches `min_iou`,
    of which the one that sees a face most clearly speaks. Anchors without any are left alone.
    """

    index: torch.Tensor
    known: torch.Tensor
    own: torch.Tensor
    theirs: torch.Tensor

    def __init__(self, student: ModelSpec, teacher: ModelSpec, min_iou: float = 0.45) -> None:
        super().__init__()
        index, known = nearest_anchors(student, teacher, min_iou)
        self.coding = student.anchors
        self.register_buffer("index", torch.from_numpy(index))
        self.register_buffer("known", torch.from_numpy(known))
        self.register_buffer("own", torch.from_numpy(make_anchors(student).copy()))
        self.register_buffer("theirs", torch.from_numpy(make_anchors(teacher).copy()))

    def forward(
        self, logits: torch.Tensor, offsets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Teacher's logits (B, T, C) and offsets (B, T, 4) to scores (B, A, C) and offsets."""
        scores = logits.softmax(dim=2)
        faces = 1 - scores[:, :, 0]
        nearest = faces[:, self.index].masked_fill(self.index < 0, -1).argmax(dim=2, keepdim=True)
        index = self.index.expand(len(faces), -1, -1).gather(2, nearest)
        scores = scores.gather(1, index.expand(-1, -1, scores.shape[2]))
        offsets = offsets.gather(1, index.expand(-1, -1, 4))
        theirs = self.theirs[index[..., 0]]
        center, size = self.coding.center_variance, self.coding.size_variance
        centers = offsets[..., :2] * center * theirs[..., 2:] + theirs[..., :2]
        return scores, torch.cat(
            [
                (centers - self.own[:, :2]) / self.own[:, 2:] / center,
                offsets[..., 2:] + (theirs[..., 2:] / self.own[:, 2:]).log() / size,
            ],
            dim=2,
        )


def nearest_anchors(
    student: ModelSpec, teacher: ModelSpec, min_iou: float, most: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each student anchor the teacher's nearest (A, K) int64, and whether there is one.

    Rows with fewer than K equally near anchors repeat the nearest.
    """
    if (student.width, student.height) == (teacher.width, teacher.height):
        return np.arange(student.num_anchors)[:, None], np.ones(student.num_anchors, bool)
    own, theirs = Anchors(student).corners.numpy(), Anchors(teacher).corners.numpy()
    index = np.zeros((len(own), most), np.int64)
    known = np.zeros(len(own), bool)
    for start in range(0, len(own), 256):
        rows = slice(start, start + 256)
        overlaps = iou_matrix(own[rows], theirs)
        order = np.argpartition(-overlaps, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(overlaps, order, axis=1)
        best = near.max(axis=1, keepdims=True)
        first = np.take_along_axis(order, near.argmax(axis=1)[:, None], axis=1)
        index[rows] = np.where(near > best - 0.02, order, first)
        known[rows] = best[:, 0] >= min_iou
    if (index == index[:, :1]).all():
        index = index[:, :1]
    return index, known


def output_loss(
    logits: torch.Tensor,
    offsets: torch.Tensor,
    scores: torch.Tensor,
    target_offsets: torch.Tensor,
    known: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the scores and of the boxes against a teacher's.

    Soft cross-entropy on every anchor, weighted by 0.03 + sqrt of the larger face score of the
    two, so that the sea of clear background does not drown the faces; boxes where the teacher
    sees a face.

    Args:
        logits: the student's (B, A, C).
        offsets: the student's (B, A, 4).
        scores: the teacher's (B, A, C).
        target_offsets: the teacher's (B, A, 4).
        known: (A,) anchors that the teacher says something about.
    """
    log_scores = logits.log_softmax(dim=2)
    divergence = functional.kl_div(log_scores, scores, reduction="none").sum(dim=2)
    sure = 1 - torch.minimum(scores[..., 0], log_scores[..., 0].detach().exp())
    weight = (0.03 + sure.clamp(min=0).sqrt()) * known
    seen = (1 - scores[..., 0]) * known
    distance = functional.smooth_l1_loss(offsets, target_offsets, reduction="none").sum(dim=2)
    return (
        (weight * divergence).sum() / joint_mean(weight.sum()).clamp(min=1),
        (seen * distance).sum() / joint_mean(seen.sum()).clamp(min=1),
    )
