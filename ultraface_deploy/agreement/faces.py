"""Whether two networks find the same faces."""

from __future__ import annotations

import numpy as np

from ultraface_deploy.pipeline import Faces, iou_matrix

MATCH_IOU = 0.5


def match_faces(wanted: Faces, had: Faces) -> list[float]:
    """Match faces of one class one to one; return the IoU of each pair of at least 0.5.

    The best-scored of `had` chooses first, as in the VOC protocol.
    """
    overlaps = iou_matrix(had.boxes, wanted.boxes)
    overlaps[had.labels[:, None] != wanted.labels[None, :]] = 0.0
    ious = []
    for row in overlaps:
        best = int(np.argmax(row)) if len(row) else -1
        if best >= 0 and row[best] >= MATCH_IOU:
            ious.append(float(row[best]))
            overlaps[:, best] = 0.0
    return ious


def f1_score(recall: float, precision: float) -> float:
    """Return the harmonic mean of recall and precision, 0 where both are."""
    total = recall + precision
    return 2 * recall * precision / total if total else 0.0
