"""The lines that rank the boxes of all kinds of anchors best, by gradient descent on AP."""

# Tested by tests/train/test_balance.py.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ultraface_deploy.train.validate import Judgement, outcomes

# How often AP of easy, medium and hard counts. With less for hard the fit buys easy faces with hard
# ones: it lowers all small anchors, whose faces count for hard alone.
WEIGHTS = (1.0, 1.0, 4.0)
# NMS is repeated with the lines of the moment after so many steps.
_STEPS, _RATE, _SAME_BOXES = 400, 0.03, 40
# Of the logits that are told apart.
_RANGE, _BINS = (-8.0, 16.0), 600
# What a kind pays, in AP, for the square of its distance from the mean of all: a kind of which the
# pictures hold few faces goes with the others.
_PRICE = 0.002

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Lines:
    """`scale * logit + shift` for each kind of anchor, (K,) each, in the order of the anchors."""

    scales: Floats
    shifts: Floats

    @classmethod
    def same(cls, kinds: int) -> Lines:
        """Return what changes nothing."""
        return cls(np.ones(kinds), np.zeros(kinds))


@dataclass(frozen=True)
class Seen:
    """The M boxes of a picture before NMS, and its F faces.

    `logits` (M,) face less background, `kinds` (M,), `close` (M, M) whether NMS takes two for one,
    `overlaps` (M, F) IoU with the faces; `ignored` by level, (F,).
    """

    logits: Floats
    kinds: npt.NDArray[np.int64]
    close: npt.NDArray[np.bool_]
    overlaps: Floats
    ignored: Mapping[str, npt.NDArray[np.bool_]]

    def ranked(self, lines: Lines) -> npt.NDArray[np.int64]:
        """Return the boxes that NMS leaves, best first."""
        logits = self.logits * lines.scales[self.kinds] + lines.shifts[self.kinds]
        alive, kept = np.ones(len(logits), bool), []
        for box in np.argsort(-logits, kind="stable"):
            if alive[box]:
                kept.append(box)
                alive &= ~self.close[box]
        return np.array(kept, np.int64)


def fit(
    views: Sequence[Sequence[Seen]],
    kinds: int,
    weights: Sequence[float] = WEIGHTS,
    on_step: Callable[[], None] = lambda: None,
) -> Lines:
    """Return the lines with the best weighted AP, by gradient descent (Adam).

    Args:
        views: what was seen in some pictures, once for each geometry.
        kinds: how many kinds of anchors there are.
        weights: how often AP of easy, medium and hard counts.
        on_step: called after each step.
    """
    logs, shifts = (torch.zeros(kinds, dtype=torch.double, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([logs, shifts], lr=_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.03, _STEPS)
    for step in range(_STEPS):
        if step % _SAME_BOXES == 0:
            kept = [Kept.of(view, _lines(logs, shifts)) for view in views]
        gained = torch.stack([each.ap(logs.exp(), shifts) for each in kept])
        apart = sum((each - each.mean()).square().sum() for each in (logs, shifts))
        loss = _PRICE * apart - (gained @ torch.tensor(weights, dtype=torch.double)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        on_step()
    return _as_high(_lines(logs, shifts), kept)


def _as_high(lines: Lines, kept: Sequence[Kept]) -> Lines:
    """Scale and shift all lines alike, which AP does not know, so that scores stay as high.

    The mean of all logits and their deviation stay. Thresholds, also those under which boxes are
    not measured at all, then keep their sense.
    """
    before = np.concatenate([each.logits.numpy() for each in kept])
    kinds = np.concatenate([each.kinds.numpy() for each in kept])
    after = before * lines.scales[kinds] + lines.shifts[kinds]
    if not len(before) or before.std() == 0:
        return lines
    scale = after.std() / before.std()
    return Lines(lines.scales / scale, (lines.shifts - after.mean()) / scale + before.mean())


def _lines(logs: torch.Tensor, shifts: torch.Tensor) -> Lines:
    return Lines(logs.detach().exp().numpy(), shifts.detach().numpy().copy())


@dataclass(frozen=True)
class Kept:
    """The M boxes that NMS leaves in some pictures by the lines of a moment.

    `logits` and `kinds` (M,); `outcomes` (3, M) for easy, medium and hard: 1 a face, -1 none, 0
    to ignore; `faces` (3,) how many there are.
    """

    logits: torch.Tensor
    kinds: torch.Tensor
    outcomes: torch.Tensor
    faces: torch.Tensor

    @classmethod
    def of(cls, view: Sequence[Seen], lines: Lines) -> Kept:
        """Run NMS and judge what it leaves."""
        chosen = [seen.ranked(lines) for seen in view]
        judged = [
            np.stack([outcomes(seen.overlaps[boxes], each) for each in seen.ignored.values()])
            for seen, boxes in zip(view, chosen, strict=True)
        ]
        faces = sum(np.stack([(~each).sum() for each in seen.ignored.values()]) for seen in view)
        pairs = list(zip(view, chosen, strict=True))
        return cls(
            torch.from_numpy(np.concatenate([seen.logits[boxes] for seen, boxes in pairs])),
            torch.from_numpy(np.concatenate([seen.kinds[boxes] for seen, boxes in pairs])),
            torch.from_numpy(np.concatenate(judged, axis=1)),
            torch.from_numpy(np.asarray(faces)),
        )

    def ap(self, scales: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        """Return AP of the three levels, (3,), differentiable in the lines.

        Boxes are counted in a histogram of their logits, each shared by the two nearest bins, and
        AP is the mean precision over the faces' bins (FastAP, Cakir et al. 2019).
        """
        lowest, highest = _RANGE
        logits = self.logits * scales[self.kinds] + shifts[self.kinds]
        place = ((logits - lowest) / (highest - lowest) * _BINS).clamp(0, _BINS - 1e-3)
        lower = place.detach().long()
        shares = torch.stack([1 - (place - lower), place - lower])
        bins = torch.stack([lower, lower + 1])
        levels = []
        for outcome, faces in zip(self.outcomes, self.faces, strict=True):
            right, wrong = (_counts(bins, shares * (outcome == sign)) for sign in (1, -1))
            precision = right.cumsum(0) / (right + wrong).cumsum(0).clamp(min=1e-9)
            levels.append((right * precision).sum() / faces.clamp(min=1))
        return torch.stack(levels)


def _counts(bins: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Return the histogram, the highest logits first."""
    empty = torch.zeros(_BINS + 1, dtype=shares.dtype)
    return empty.index_add(0, bins.flatten(), shares.flatten()).flip(0)


def precision(view: Sequence[Seen], lines: Lines) -> Floats:
    """Return AP of easy, medium and hard, (3,)."""
    kept = Kept.of(view, lines)
    kinds = kept.kinds.numpy()
    logits = kept.logits.numpy() * lines.scales[kinds] + lines.shifts[kinds]
    order = np.argsort(-logits, kind="stable")
    image = np.zeros(len(order), np.int64)
    return np.array(
        [
            Judgement(outcome[order], image, faces[None]).ap()
            for outcome, faces in zip(kept.outcomes.numpy(), kept.faces.numpy(), strict=True)
        ]
    )
