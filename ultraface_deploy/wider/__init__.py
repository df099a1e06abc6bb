"""Accuracy on WIDER FACE by the official protocol (Yang et al. 2016)."""

from ultraface_deploy.wider.ground_truth import SETS, TruthImage, read_ground_truth
from ultraface_deploy.wider.matching import Detections, Matches, match_images
from ultraface_deploy.wider.predictions import read_predictions, write_predictions
from ultraface_deploy.wider.protocol import score, tally_matches
from ultraface_deploy.wider.tally import Curve, Tally

__all__ = [
    "SETS",
    "Curve",
    "Detections",
    "Matches",
    "Tally",
    "TruthImage",
    "match_images",
    "read_ground_truth",
    "read_predictions",
    "score",
    "tally_matches",
    "write_predictions",
]
