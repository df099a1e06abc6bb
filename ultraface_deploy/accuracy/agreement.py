"""Do two artifacts of one network find the same faces? AP alone does not see shrunken scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ultraface_deploy.agreement.faces import MATCH_IOU, f1_score
from ultraface_deploy.pipeline import iou_matrix
from ultraface_deploy.wider import Detections

SCORE = 0.5


@dataclass(frozen=True)
class Agreement:
    """Of the reference's detections at score 0.5 the share that is found again, and vice versa.

    Found again is what overlaps a detection of the other by an IoU of at least 0.5. Both shares
    are 1 where there is nothing to find.
    """

    reference: str
    recall: float
    precision: float
    f1: float


def agreement(
    reference: Mapping[str, Detections], candidate: Mapping[str, Detections], name: str
) -> Agreement:
    """Compare the detections in all images of the reference, which results call `name`."""
    wanted = found = given = right = 0
    for image, detections in reference.items():
        expected, made = _confident(detections), _confident(candidate[image])
        overlaps = iou_matrix(expected, made) >= MATCH_IOU
        wanted, given = wanted + len(expected), given + len(made)
        found += int(overlaps.any(axis=1).sum())
        right += int(overlaps.any(axis=0).sum())
    recall = found / wanted if wanted else 1.0
    precision = right / given if given else 1.0
    return Agreement(name, recall, precision, f1_score(recall, precision))


def _confident(detections: Detections) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    boxes, scores = detections
    return np.asarray(boxes, dtype=np.float64)[(scores >= SCORE) & np.isfinite(boxes).all(axis=1)]
