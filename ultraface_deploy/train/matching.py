"""Which anchor answers for which face: SSD matching (Liu et al. 2016, section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import encode, iou_matrix, make_anchors

IGNORE, BACKGROUND, FACE = -1, 0, 1


@dataclass(frozen=True)
class Targets:
    """What each of A anchors should say.

    `labels` (A,) int64: IGNORE, BACKGROUND or a class from 1; `offsets` (A, 4) float32, encoded,
    meaningful where `labels` is a class.
    """

    labels: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.float32]


def match(
    boxes: npt.NDArray[np.float32],
    ignored: npt.NDArray[np.bool_],
    spec: ModelSpec,
    iou_threshold: float = 0.35,
    classes: npt.NDArray[np.int64] | None = None,
) -> Targets:
    """Assign faces to anchors.

    An anchor takes the face it overlaps most if their IoU reaches the threshold; beyond that,
    every face takes its best anchor, so that none goes unassigned. An anchor whose face is
    ignored counts as nothing.

    Args:
        boxes: (N, 4) corners in 0..1.
        ignored: (N,) faces that are neither to be found nor background.
        spec: the network whose anchors are matched.
        iou_threshold: 0.35 is the published training's.
        classes: (N,) class of each face from 1; None where all are faces.
    """
    anchors = make_anchors(spec)
    labels = np.zeros(len(anchors), np.int64)
    offsets = np.zeros((len(anchors), 4), np.float32)
    if not len(boxes):
        return Targets(labels, offsets)
    overlaps = iou_matrix(corner_anchors(spec), boxes)
    face = overlaps.argmax(axis=1)
    taken = overlaps[np.arange(len(anchors)), face] >= iou_threshold
    # Forced matches last, ignored faces before real ones, so that no real face is overwritten.
    best = overlaps.argmax(axis=0)
    for number in np.argsort(~ignored, kind="stable"):
        if overlaps[best[number], number] > 0:
            face[best[number]], taken[best[number]] = number, True
    kinds = np.full(len(boxes), FACE) if classes is None else classes
    labels[taken] = np.where(ignored[face[taken]], IGNORE, kinds[face[taken]])
    coding = spec.anchors
    real = labels >= FACE
    offsets[real] = encode(
        boxes[face[real]], anchors[real], coding.center_variance, coding.size_variance
    )
    return Targets(labels, offsets)


@lru_cache(maxsize=4)
def corner_anchors(spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Return the anchors of a network as corners, (A, 4) float32 in 0..1."""
    anchors = make_anchors(spec)
    half = anchors[:, 2:] / 2
    return np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)
