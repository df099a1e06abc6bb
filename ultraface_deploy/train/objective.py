"""The loss of one stage as a module: the student inside it, the teachers beside it."""

# Tested by tests/train/test_distill.py.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.train.batches import Batch
from ultraface_deploy.train.distill import Taps, convolutions, feature_loss, output_loss
from ultraface_deploy.train.loss import iou_and_giou, multibox_loss, overlap_loss
from ultraface_deploy.train.matching import match
from ultraface_deploy.train.recipe import Stage
from ultraface_deploy.train.teachers import Answer, FamilyTeacher, TeacherSource, ask, merged

# The IoU from which a box counts as found, by which AP is measured.
_COUNTS = 0.5


class Objective(nn.Module):
    """Batch in, losses by name out; `total` is what is minimised.

    A module of its own so that DistributedDataParallel sees every forward, whether the student
    runs end to end or layer by layer.
    """

    def __init__(
        self,
        student: UltraFace,
        stage: Stage,
        teachers: Sequence[TeacherSource],
        device: torch.device,
    ) -> None:
        super().__init__()
        self.student, self.stage = student, stage
        self.taps = Taps(student) if stage.weights.features else None
        self.scales: list[torch.Tensor] = []
        # In a tuple, so that the teachers are not part of this module's parameters. Those that
        # are not of the family have looked at the pictures already.
        self._teachers = tuple(
            FamilyTeacher(teacher) if isinstance(teacher, Checkpoint) else None
            for teacher in teachers
        )
        for teacher in filter(None, self._teachers):
            teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher_taps: Taps | None = None
        if stage.reads_features:
            (only,) = self._teachers
            assert only is not None
            self.teacher_taps = Taps(only.net)

    def close(self) -> None:
        """Leave the student as it was found, for the next stage."""
        if self.taps is not None:
            self.taps.remove()

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
        taught = self._ask_teachers(batch) if self._teachers else None
        if self.stage.layerwise:
            losses = {"features": self._feature_loss(self._run_layers())}
        else:
            # Networks this small are no faster in half precision, on a large GPU either.
            images = batch.images.contiguous(memory_format=torch.channels_last)
            logits, offsets = self.student(images)
            losses = self._losses(logits, offsets, batch, taught)
        return losses | {"total": torch.stack(list(losses.values())).sum()}

    def _losses(
        self, logits: torch.Tensor, offsets: torch.Tensor, batch: Batch, taught: Answer | None
    ) -> dict[str, torch.Tensor]:
        weights, losses = self.stage.weights, dict[str, torch.Tensor]()
        if weights.features and self.taps is not None:
            losses["features"] = weights.features * self._feature_loss(self.taps.outputs)
        if weights.labels or weights.overlap:
            losses |= self._label_losses(logits, offsets, batch)
        if taught is not None and (weights.outputs or weights.boxes):
            scores, distance = output_loss(logits, offsets, *taught)
            losses["output_scores"] = weights.outputs * scores
            losses["output_boxes"] = weights.boxes * distance
        return losses

    def _label_losses(
        self, logits: torch.Tensor, offsets: torch.Tensor, batch: Batch
    ) -> dict[str, torch.Tensor]:
        weights, spread = self.stage.weights, self.stage.quality
        targets = match(batch.faces, len(batch), batch.anchors)
        losses, quality = dict[str, torch.Tensor](), None
        if weights.overlap or spread:
            found, wanted = map(batch.anchors.decode, (offsets, targets.offsets))
            overlaps, generalised = iou_and_giou(found, wanted)
            if weights.overlap:
                losses["label_overlap"] = weights.overlap * overlap_loss(
                    generalised, targets.labels
                )
            if spread:
                quality = ((overlaps.detach() - _COUNTS) / spread).sigmoid()
        if weights.labels:
            entropy, boxes = multibox_loss(
                logits, offsets, targets.labels, targets.offsets, quality=quality
            )
            losses["label_scores"] = weights.labels * entropy
            losses["label_boxes"] = weights.labels * boxes
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
            self._ask_teachers(batch)
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

    @torch.no_grad()
    def _ask_teachers(self, batch: Batch) -> Answer:
        """Return what the stage's teachers say together about the student's anchors."""
        roles = zip(self.stage.teachers, self._teachers, strict=True)
        return merged(
            [(role.weight, ask(batch, role.name, teacher, role.scale)) for role, teacher in roles]
        )

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
