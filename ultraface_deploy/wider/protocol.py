"""Precision, recall and AP of the official WIDER FACE protocol, vectorised.

Follows the evaluation tools of Yang et al., "WIDER FACE: A Face Detection Benchmark" (2016):
scores are min-max normalised over all predictions, precision and recall are taken at 1000 score
thresholds, and AP is the area under the envelope of Pascal VOC 2010. Because of the normalisation
AP does not see a detector whose scores have shrunk; look at the agreement of the detections too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ultraface_deploy.wider.ground_truth import SETS, TruthImage
from ultraface_deploy.wider.matching import Detections, Matches, match_images

# From .999 down to 0; the expression is the tools', to the last bit.
THRESHOLDS = 1 - np.arange(1, 1001) / 1000


@dataclass(frozen=True)
class Curve:
    """AP and the precision (1000,) and recall (1000,) at `THRESHOLDS` of the normalised scores.

    AP is NaN where the set counts no face.
    """

    ap: float
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]


def score(predictions: Mapping[str, Detections], images: Sequence[TruthImage]) -> dict[str, Curve]:
    """Score the predictions of a detector on the easy, medium and hard set.

    Args:
        predictions: by image name (`event/file` without suffix) boxes (N, 4) as corners
            x1 y1 x2 y2 in pixels and scores (N,), in any order.
        images: what `read_ground_truth` gave, or some of it.
    """
    return score_matches(match_images(predictions, images))


def score_matches(matches: Matches) -> dict[str, Curve]:
    """Score predictions that have been matched already."""
    bins = threshold_bins(matches.scores)
    # The tools skip an image without any ground truth, with all its predictions.
    counted = np.bincount(matches.face_image, minlength=len(matches.names))[matches.image] > 0
    curves = {}
    for subset, name in enumerate(SETS):
        outcome = np.where(counted, matches.outcomes(subset), -1)
        hits = np.bincount(bins[outcome == 1], minlength=len(THRESHOLDS)).cumsum()
        alarms = np.bincount(bins[outcome == 0], minlength=len(THRESHOLDS)).cumsum()
        precision, recall = precision_recall(hits, alarms, matches.kept[subset].sum())
        curves[name] = Curve(float(average_precision(precision, recall)), precision, recall)
    return curves


def threshold_bins(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return for every score (P,) the index of the first threshold that lets it pass.

    Scores that are all the same become 1 (the tools would divide by zero).
    """
    if not len(scores):
        return np.empty(0, dtype=np.int64)
    low, high = scores.min(), scores.max()
    normalised = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return np.searchsorted(-THRESHOLDS, -normalised, side="left")


def precision_recall(
    hits: npt.NDArray[np.number], alarms: npt.NDArray[np.number], faces: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return precision and recall (..., T) from cumulated counts (..., T) and faces (...).

    Precision is 0 where nothing is predicted; recall is NaN without faces.
    """
    total = np.asarray(hits + alarms, dtype=np.float64)
    precision = np.divide(hits, total, out=np.zeros_like(total), where=total > 0)
    faces = np.asarray(faces, dtype=np.float64)[..., None]
    recall = np.divide(hits, faces, out=np.full_like(total, np.nan), where=faces > 0)
    return precision, recall


def average_precision(
    precision: npt.NDArray[np.float64], recall: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the area (...) under the envelope of curves (..., T) with ascending recall.

    The envelope gives every recall the best precision at that recall or above, as in VOC 2010.
    """
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    area: npt.NDArray[np.float64] = (np.diff(recall, axis=-1, prepend=0) * envelope).sum(axis=-1)
    return area
