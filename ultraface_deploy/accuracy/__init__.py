"""Accuracy of artifacts: on WIDER FACE, on one's own pictures, and compared with each other."""

from ultraface_deploy.accuracy.compare import compare_results, pair_up
from ultraface_deploy.accuracy.result import Evaluation, Result, read_results
from ultraface_deploy.accuracy.run import (
    Options,
    evaluate_folder,
    evaluate_wider,
    score_predictions,
)
from ultraface_deploy.accuracy.settings import EvalSettings
from ultraface_deploy.accuracy.subject import Subject, find_subjects

__all__ = [
    "EvalSettings",
    "Evaluation",
    "Options",
    "Result",
    "Subject",
    "compare_results",
    "evaluate_folder",
    "evaluate_wider",
    "find_subjects",
    "pair_up",
    "read_results",
    "score_predictions",
]
