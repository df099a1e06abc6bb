"""Non-maximum suppression in the three kinds that the published UltraFace demos use."""

from __future__ import annotations

from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.boxes import Floats, iou, iou_matrix, overlapping

NmsKind = Literal["hard", "soft", "blend"]


def parse_nms(text: str) -> NmsKind:
    """Read the name of an NMS kind.

    Raises:
        InputError: there is none of that name.
    """
    for kind in get_args(NmsKind):
        if text == kind:
            return cast(NmsKind, kind)
    raise InputError(f"`nms` {text}: unknown; choose from {', '.join(get_args(NmsKind))}")


def nms(
    boxes: Floats,
    scores: Floats,
    *,
    kind: NmsKind = "hard",
    iou_threshold: float = 0.3,
    score_threshold: float = 0.0,
    sigma: float = 0.5,
) -> tuple[Floats, Floats]:
    """Suppress boxes that overlap a better one.

    Args:
        boxes: (N, 4 or more): corners in pixels, then whatever belongs to the box and is kept, or
            averaged, with it.
        scores: (N,).
        kind: `hard` drops overlapping boxes (the Python demos); `soft` lowers their scores by a
            Gaussian of the IoU (Bodla et al. 2017; `sigma`, dropped below `score_threshold`);
            `blend` averages a cluster's boxes and scores with weights exp(score), with an IoU
            that counts whole pixels (the C++ demos' default).
        iou_threshold: overlap, 0..1, above which `hard` and `blend` take two boxes for one face.
        score_threshold: for `soft`, the score under which a box is dropped.
        sigma: for `soft`, width of the Gaussian.

    Returns:
        Boxes (M, as many columns) and scores (M,), best first.
    """
    order = best_first(scores)
    return suppress(
        boxes.take(order, axis=0),
        scores.take(order),
        kind=kind,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        sigma=sigma,
    )


def best_first(scores: Floats) -> npt.NDArray[np.intp]:
    """Return the order of scores (N,) from the best; of equal ones the first goes first.

    Scores in INT8 are often equal: so the result is one on every machine and in the generated C++.
    """
    return (-scores).argsort(kind="stable")


def suppress(
    boxes: Floats,
    scores: Floats,
    *,
    kind: NmsKind = "hard",
    iou_threshold: float = 0.3,
    score_threshold: float = 0.0,
    sigma: float = 0.5,
) -> tuple[Floats, Floats]:
    """Do what `nms` does to boxes that come best first already."""
    if kind == "hard":
        keep = _hard(boxes, iou_threshold)
        return boxes.take(keep, axis=0), scores.take(keep)
    if kind == "soft":
        return _soft(boxes, scores, score_threshold, sigma)
    return _blend(boxes, scores, iou_threshold)


def _hard(boxes: Floats, iou_threshold: float) -> npt.NDArray[np.intp]:
    """Return which of the boxes, the best first, stay."""
    stays = bytearray(b"\1") * len(boxes)
    # By the better box, so that each has its own answer before it suppresses others.
    for better, other in overlapping(boxes, iou_threshold):
        if stays[better]:
            stays[other] = 0
    return np.frombuffer(stays, np.uint8).nonzero()[0]


def _soft(
    boxes: Floats, scores: Floats, score_threshold: float, sigma: float
) -> tuple[Floats, Floats]:
    picked_boxes, picked_scores = [], []
    while len(boxes):
        best = int(np.argmax(scores))
        picked_boxes.append(boxes[best])
        picked_scores.append(scores[best])
        box = boxes[best, :4]
        boxes, scores = np.delete(boxes, best, axis=0), np.delete(scores, best)
        scores = scores * np.exp(-np.square(iou(box, boxes[:, :4])) / sigma).astype(scores.dtype)
        alive = scores > score_threshold
        boxes, scores = boxes[alive], scores[alive]
    return (
        np.array(picked_boxes, dtype=boxes.dtype).reshape(-1, boxes.shape[1]),
        np.array(picked_scores, dtype=scores.dtype),
    )


def _blend(boxes: Floats, scores: Floats, iou_threshold: float) -> tuple[Floats, Floats]:
    overlaps = iou_matrix(boxes[:, :4], boxes[:, :4], pixel=1.0) > iou_threshold
    np.fill_diagonal(overlaps, True)
    free = np.ones(len(boxes), dtype=bool)
    weights = np.exp(scores)
    blended_boxes, blended_scores = [], []
    for index in range(len(boxes)):
        if free[index]:
            cluster = overlaps[index] & free
            free &= ~cluster
            weight = weights[cluster] / weights[cluster].sum()
            blended_boxes.append(weight @ boxes[cluster])
            blended_scores.append(weight @ scores[cluster])
    found = np.array(blended_boxes, dtype=boxes.dtype).reshape(-1, boxes.shape[1])
    values = np.array(blended_scores, dtype=scores.dtype)
    order = np.argsort(-values, kind="stable")
    return found[order], values[order]
