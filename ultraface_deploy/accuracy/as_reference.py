"""Do two artifacts of one network find the same faces? AP alone does not see shrunken scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ultraface_deploy.agreement.faces import SameFaces
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.wider import Detections

SCORE = 0.5


def agreement(
    reference: Mapping[str, Detections], candidate: Mapping[str, Detections], name: str
) -> dict[str, Any]:
    """Compare the detections at score 0.5 in all images of the reference, which is called `name`.

    Returns:
        `reference`, `recall` (the share of its detections that is found again), `precision` and
        `f1`, as `agreement.faces` defines them. Predictions have no labels: all are of one class.
    """
    same = SameFaces()
    for image, detections in reference.items():
        same.add(_confident(detections), _confident(candidate[image]))
    return {"reference": name, "recall": same.recall, "precision": same.precision, "f1": same.f1}


def _confident(detections: Detections) -> Faces:
    """Return the finite detections with a score of at least 0.5, best first."""
    boxes, scores = (np.asarray(values, dtype=np.float32) for values in detections)
    kept = np.flatnonzero((scores >= SCORE) & np.isfinite(boxes).all(axis=1))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Faces(boxes[kept], scores[kept], np.ones(len(kept), np.int64))
