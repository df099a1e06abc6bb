"""Who teaches: other networks' scores and boxes, brought to the student's anchors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.train.batches import Batch, normalise
from ultraface_deploy.train.distill import AnchorMap, fused
from ultraface_deploy.train.matching import Anchors, FaceList, best_row

Answer = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Scores (B, A, C), offsets (B, A, 4), and how far it knows the anchors, 0..1: (B or 1, A)."""

TeacherSource = Checkpoint | Path
"""A checkpoint of the family, or the file of another detector."""


class FamilyTeacher(nn.Module):
    """Another network of the family, asked about every window; its anchors are mapped to ours."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.spec = checkpoint.spec
        self.net = fused(checkpoint.build()).requires_grad_(False)
        self._maps: dict[tuple[int, int, int, int], AnchorMap] = {}

    @torch.no_grad()
    def forward(self, views: torch.Tensor, student: ModelSpec) -> Answer:
        """Answer on views (B, 3, H, W) in 0..255 of the windows that the student sees."""
        height, width = views.shape[2:]
        key = (width, height, student.width, student.height)
        if key not in self._maps:
            mapping = AnchorMap(student, self.spec.resized(width, height))
            self._maps[key] = mapping.to(views.device)
        images = normalise(views, self.spec)
        logits, offsets = self.net(images.contiguous(memory_format=torch.channels_last))
        return *self._maps[key](logits.float(), offsets.float()), self._maps[key].known[None]


def answer_of_faces(faces: FaceList, batch: int, anchors: Anchors) -> Answer:
    """What faces with scores say about anchors: the surest of those that overlap it enough.

    An anchor whose IoU with a face reaches 0.35, as in `match`, has that face's score and box;
    one that overlaps none is background; one that only a face to ignore overlaps is unknown.
    """
    known = torch.ones(batch, len(anchors.centers), device=anchors.centers.device)
    if not len(faces.boxes):
        nothing = torch.tensor([1.0, 0.0], device=known.device)
        return nothing.expand(*known.shape, 2), torch.zeros(*known.shape, 4).to(known), known
    overlaps = anchors.overlaps(faces.boxes)
    # The overlap decides between faces that are equally sure.
    value = (faces.scores[:, None] + 1e-3 * overlaps) * (overlaps >= 0.35)
    counted, _ = best_row(value * ~faces.ignored[:, None], faces.sample, batch)
    best, face = best_row(value, faces.sample, batch)
    face = face.clamp(min=0)
    sure = torch.where(counted > 0, faces.scores[face], 0.0)
    known[(best > 0) & faces.ignored[face]] = 0.0
    return torch.stack([1 - sure, sure], 2), anchors.encode(faces.boxes[face]), known


def ask(batch: Batch, role: str, teacher: FamilyTeacher | None, scale: float) -> Answer:
    """Return a teacher's answer on a batch; without a network, what it saw in the pictures."""
    if teacher is not None:
        return teacher(batch.views[scale], batch.spec)  # type: ignore[no-any-return]
    return answer_of_faces(batch.seen[role], len(batch), batch.anchors)


def merged(answers: list[tuple[float, Answer]]) -> Answer:
    """Average the answers of several teachers, by weight.

    Scores by the weights alone; offsets also by how sure each teacher is. An anchor that one
    of them does not know is left to the others.
    """
    if len(answers) == 1:
        return answers[0][1]
    zero = torch.zeros((), device=answers[0][1][0].device)
    scores, offsets, trust, shares = zero, zero, zero, zero
    for weight, (score, offset, known) in answers:
        share = weight * known.float()[..., None]
        sure = share * (1 - score[..., :1]) + 1e-6
        scores, shares = scores + share * score, shares + share
        offsets, trust = offsets + sure * offset, trust + sure
    known = (shares[..., 0] > 0).float()
    return scores / shares.clamp(min=1e-6), offsets / trust, known
