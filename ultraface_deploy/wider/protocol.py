"""Precision, recall and AP of the official WIDER FACE protocol, vectorised.

Follows the evaluation tools of Yang et al., "WIDER FACE: A Face Detection Benchmark" (2016):
scores are min-max normalised over all predictions, precision and recall are taken at 1000 score
thresholds, and AP is the area under the envelope of Pascal VOC 2010. Because of the normalisation
AP does not see a detector whose scores have shrunk; look at the agreement of the detections too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ultraface_deploy.wider.ground_truth import SETS, TruthImage
from ultraface_deploy.wider.matching import Detections, Matches, match_images
from ultraface_deploy.wider.tally import Curve, Tally

# From .999 down to 0; the expression is the tools', to the last bit.
THRESHOLDS = 1 - np.arange(1, 1001) / 1000


def score(predictions: Mapping[str, Detections], images: Sequence[TruthImage]) -> dict[str, Curve]:
    """Score the predictions of a detector on the easy, medium and hard set.

    Args:
        predictions: by image name (`event/file` without suffix) boxes (N, 4) as corners
            x1 y1 x2 y2 in pixels and scores (N,), in any order.
        images: what `read_ground_truth` gave, or some of it.
    """
    tally = tally_matches(match_images(predictions, images))
    return {name: tally.curve(name) for name in SETS}


def tally_matches(matches: Matches) -> Tally:
    """Count hits and false alarms of matched predictions by image and threshold."""
    # The tools skip an image without any ground truth, with all its predictions.
    with_faces = np.bincount(matches.face_image, minlength=len(matches.names)) > 0
    return Tally.of(
        matches, SETS, threshold_bins(matches.scores), len(THRESHOLDS), with_faces[matches.image]
    )


def threshold_bins(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return for every score (P,) the index of the first threshold that lets it pass.

    Scores that are all the same become 1 (the tools would divide by zero).
    """
    if not len(scores):
        return np.empty(0, dtype=np.int64)
    low, high = scores.min(), scores.max()
    normalised = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return np.searchsorted(-THRESHOLDS, -normalised, side="left")
