"""The loss of one stage as a module: the student inside it, the teacher beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from ultraface_deploy.checkpoint import Checkpoint
from ultraface_deploy.nets import UltraFace
from ultraface_deploy.nets.blocks import BasicRFB
from ultraface_deploy.spec import ModelSpec
from ultraface_deploy.train.dataset import Batch, Key, normalise
from ultraface_deploy.train.distill import (
    AnchorMap,
    Taps,
    blocks,
    feature_loss,
    fused,
    output_loss,
)
from ultraface_deploy.train.loss import multibox_loss
from ultraface_deploy.train.recipe import Stage

_Answers = tuple[torch.Tensor, torch.Tensor]


class Objective(nn.Module):
    """Batch in, losses by name out; `total` is what is minimised.

    A module of its own so that DistributedDataParallel sees every forward, whether the student
    runs end to end or block by block.
    """

    def __init__(
        self, student: UltraFace, spec: ModelSpec, stage: Stage, teacher: Checkpoint | None
    ) -> None:
        super().__init__()
        self.student, self.spec, self.stage = student, spec, stage
        self.taps = Taps(student) if self._reads_features else None
        self.scales: list[torch.Tensor] = []
        # In a list, so that the teacher is no part of this module's parameters.
        self._teacher: list[UltraFace] = []
        self.teacher_taps: Taps | None = None
        if teacher is not None:
            self._teacher = [fused(teacher.build()).requires_grad_(False)]
            self.teacher_taps = Taps(self._teacher[0]) if self._reads_features else None
            self.anchor_map = AnchorMap(spec, teacher.spec)
        self.answers: dict[Key, _Answers] = {}

    @property
    def _reads_features(self) -> bool:
        return self.stage.blockwise or self.stage.weights.features > 0

    def close(self) -> None:
        """Leave the student as it was found, for the next stage."""
        if self.taps is not None:
            self.taps.remove()

    def to(self, device: torch.device) -> Objective:  # type: ignore[override]
        """Move everything, the teacher too."""
        for teacher in self._teacher:
            teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return super().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def train(self, mode: bool = True) -> Objective:
        """Switch to training, but leave BatchNorm alone where the stage freezes it."""
        super().train(mode)
        if mode and self.stage.freeze_bn:
            for module in self.student.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the losses of a batch."""
        weights, losses = self.stage.weights, dict[str, torch.Tensor]()
        taught = self._ask_teacher(batch) if self._teacher else None
        if self.stage.blockwise:
            logits, offsets = self._run_blocks()
        else:
            logits, offsets = self.student(normalise(batch.images, self.spec))
        if self.stage.blockwise or weights.features:
            losses["features"] = (
                max(weights.features, float(self.stage.blockwise)) * self._features()
            )
        if weights.labels and not self.stage.blockwise:
            entropy, boxes = multibox_loss(logits, offsets, batch.labels, batch.offsets)
            losses["label_scores"] = weights.labels * entropy
            losses["label_boxes"] = weights.labels * boxes
        if taught and (weights.outputs or weights.boxes):
            scores, distance = output_loss(logits, offsets, *taught, self.anchor_map.known)
            losses["output_scores"] = weights.outputs * scores
            losses["output_boxes"] = weights.boxes * distance
        return losses | {"total": torch.stack(list(losses.values())).sum()}

    @torch.no_grad()
    def measure(self, batches: Iterable[Batch]) -> None:
        """Measure the teacher's activations and, block by block, the student's BatchNorms.

        Each block's last BatchNorm starts from the mean and deviation of the activations that it
        has to learn.
        """
        if self.teacher_taps is None:
            return
        norms = [m for m in self.student.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms if self.stage.blockwise else []:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.train()
        sums: dict[int, list[torch.Tensor]] = {}
        for batch in batches:
            self._ask_teacher(batch)
            if self.stage.blockwise:
                self._run_blocks()
            for number, values in self.teacher_taps.activations.items():
                sums.setdefault(number, []).append(
                    torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))])
                )
        moments = [torch.stack(sums[number]).mean(0) for number in sorted(sums)]
        deviations = [(square - mean.square()).clamp(min=0).sqrt() for mean, square in moments]
        self.scales = [deviation + 0.1 * deviation.mean() for deviation in deviations]
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        if self.stage.blockwise:
            for block, (mean, _), deviation in zip(
                blocks(self.student), moments, deviations, strict=True
            ):
                _start_from(block, mean, deviation)

    def _ask_teacher(self, batch: Batch) -> _Answers:
        """Return the teacher's scores (B, A, C) and offsets (B, A, 4) on the student's anchors.

        Answers on windows that recur are remembered, in half precision.
        """
        if batch.teacher_images is not None:
            with torch.no_grad():
                views = normalise(batch.teacher_images, self.spec)
                answers = cast(_Answers, self.anchor_map(*self._teacher[0](views)))
            if not self.stage.windows:
                return answers
            for position, scores, offsets in zip(batch.asked, *answers, strict=True):
                self.answers[batch.keys[position]] = (scores.half(), offsets.half())
        known = [self.answers[key] for key in batch.keys]
        scores, offsets = (torch.stack(parts).float() for parts in zip(*known, strict=True))
        return scores, offsets

    def _run_blocks(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each block and head of the student what the teacher's was given."""
        assert self.teacher_taps is not None
        for number, block in enumerate(blocks(self.student)):
            block(self.teacher_taps.inputs[number])
        sources = self.teacher_taps.sources
        return self.student.predict(sources[number] for number in sorted(sources))

    def _features(self) -> torch.Tensor:
        assert self.taps is not None and self.teacher_taps is not None
        numbers = sorted(self.taps.activations)
        return feature_loss(
            [self.taps.activations[number] for number in numbers],
            [self.teacher_taps.activations[number] for number in numbers],
            self.scales,
        )


def _start_from(block: nn.Module, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Let the BatchNorm before a block's last ReLU emit this mean and deviation."""
    if isinstance(block, BasicRFB):
        # Two branches are added: each carries half of the mean and of the variance.
        for norm in (block.ConvLinear.bn, block.shortcut.bn):
            norm.weight.copy_(deviation / 2**0.5)
            norm.bias.copy_(mean / 2)
    elif isinstance(block, nn.Sequential) and isinstance(block[-2], nn.BatchNorm2d):
        block[-2].weight.copy_(deviation)
        block[-2].bias.copy_(mean)
