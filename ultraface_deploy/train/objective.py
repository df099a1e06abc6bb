"""The loss of one stage as a module: the student inside it, the teacher beside it."""

# Tested by tests/train/test_distill.py.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import nn

from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.train.dataset import Batch, Key, normalise
from ultraface_deploy.train.distill import (
    AnchorMap,
    Taps,
    convolutions,
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
    runs end to end or layer by layer.
    """

    def __init__(
        self, student: UltraFace, spec: ModelSpec, stage: Stage, teacher: Checkpoint | None
    ) -> None:
        super().__init__()
        self.student, self.spec, self.stage = student, spec, stage
        self.taps = Taps(student) if stage.weights.features else None
        self.scales: list[torch.Tensor] = []
        # In a list, so that the teacher is not part of this module's parameters.
        self._teacher: list[UltraFace] = []
        self.teacher_taps: Taps | None = None
        if teacher is not None:
            self._teacher = [fused(teacher.build()).requires_grad_(False)]
            self.teacher_taps = Taps(self._teacher[0]) if self._reads_features else None
            self.anchor_map = AnchorMap(spec, teacher.spec)
        self.answers: dict[Key, _Answers] = {}

    @property
    def _reads_features(self) -> bool:
        return self.stage.layerwise or self.stage.weights.features > 0

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
        taught = self._ask_teacher(batch) if self._teacher else None
        if self.stage.layerwise:
            losses = {"features": self._feature_loss(self._run_layers())}
        else:
            logits, offsets = self.student(normalise(batch.images, self.spec))
            # Half precision is for the convolutions; sums over thousands of anchors overflow it.
            losses = self._losses(logits.float(), offsets.float(), batch, taught)
        return losses | {"total": torch.stack(list(losses.values())).sum()}

    def _losses(
        self, logits: torch.Tensor, offsets: torch.Tensor, batch: Batch, taught: _Answers | None
    ) -> dict[str, torch.Tensor]:
        weights, losses = self.stage.weights, dict[str, torch.Tensor]()
        if weights.features and self.taps is not None:
            losses["features"] = weights.features * self._feature_loss(self.taps.outputs)
        if weights.labels:
            entropy, boxes = multibox_loss(logits, offsets, batch.labels, batch.offsets)
            losses["label_scores"] = weights.labels * entropy
            losses["label_boxes"] = weights.labels * boxes
        if taught is not None and (weights.outputs or weights.boxes):
            scores, distance = output_loss(logits, offsets, *taught, self.anchor_map.known)
            losses["output_scores"] = weights.outputs * scores
            losses["output_boxes"] = weights.boxes * distance
        return losses

    def _feature_loss(self, outputs: Mapping[int, torch.Tensor]) -> torch.Tensor:
        assert self.teacher_taps is not None
        return feature_loss(outputs, self.teacher_taps.outputs, self.scales)

    @torch.no_grad()
    def measure(self, batches: Iterable[Batch]) -> None:
        """Measure the deviations of the teacher's features, the units of the feature loss.

        In a layer-wise stage measure also the student's BatchNorms, each on what the teacher's
        layer is given, and let every layer start from the mean (and with a BatchNorm from the
        deviation) that it has to learn.
        """
        assert self.teacher_taps is not None
        layers = convolutions(self.student) if self.stage.layerwise else []
        momenta = [None if norm is None else norm.momentum for _, norm in layers]
        for _, norm in layers:
            if norm is not None:
                norm.reset_running_stats()
                norm.momentum = None  # a plain average over the batches
                norm.train()
        ours, theirs = _Moments(), _Moments()
        for batch in batches:
            self._ask_teacher(batch)
            theirs.add(self.teacher_taps.outputs)
            if self.stage.layerwise:
                ours.add(self._run_layers())
        self.scales = [deviation + 0.1 * deviation.mean() for _, deviation in theirs.values()]
        for number, ((conv, norm), momentum) in enumerate(zip(layers, momenta, strict=True)):
            mean, deviation = theirs.values()[number]
            if norm is not None:
                norm.momentum = momentum
                norm.weight.copy_(deviation)
                norm.bias.copy_(mean)
            elif conv.bias is not None:
                conv.bias += mean - ours.values()[number][0]

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

    def _run_layers(self) -> dict[int, torch.Tensor]:
        """Give each layer of the student what the teacher's was given."""
        assert self.teacher_taps is not None
        outputs = {}
        for number, (conv, norm) in enumerate(convolutions(self.student)):
            output = conv(self.teacher_taps.inputs[number])
            outputs[number] = output if norm is None else norm(output)
        return outputs


class _Moments:
    """Means and deviations of channels over batches, by layer."""

    def __init__(self) -> None:
        self._sums: dict[int, list[torch.Tensor]] = {}

    def add(self, outputs: Mapping[int, torch.Tensor]) -> None:
        """Count outputs (B, C, H, W) of every layer in."""
        for number, values in outputs.items():
            moments = [values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]
            self._sums.setdefault(number, []).append(torch.stack(moments))

    def values(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return mean and deviation (C,) of every layer."""
        found = []
        for number in sorted(self._sums):
            mean, square = torch.stack(self._sums[number]).mean(0)
            found.append((mean, (square - mean.square()).clamp(min=0).sqrt()))
        return found
