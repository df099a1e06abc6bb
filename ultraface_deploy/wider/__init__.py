"""Accuracy on WIDER FACE by the official protocol (Yang et al. 2016)."""

from ultraface_deploy.wider.ground_truth import SETS, TruthImage, read_ground_truth
from ultraface_deploy.wider.matching import Detections, Matches, match_images
from ultraface_deploy.wider.predictions import read_predictions, write_predictions
from ultraface_deploy.wider.protocol import Curve, score, score_matches

__all__ = [
    "SETS",
    "Curve",
    "Detections",
    "Matches",
    "TruthImage",
    "match_images",
    "read_ground_truth",
    "read_predictions",
    "score",
    "score_matches",
    "write_predictions",
]
