"""What one AP does not tell: lost small faces, false alarms per image, what a score means.

All of it at scores as the detector gives them (the protocol's AP normalises them), over the faces
that one set counts; predictions on other faces are left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.wider import Matches

HEIGHTS = (0.0, 16.0, 32.0, 64.0, 128.0, 256.0, float("inf"))
SCORES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class OperatingPoint:
    """What a user gets who keeps the faces with at least this score; None where undefined."""

    score: float
    recall: float | None
    precision: float | None
    false_positives_per_image: float | None


@dataclass(frozen=True)
class HeightRange:
    """Faces of `low` <= height < `high` pixels of the image, `high` None for any.

    `recall` at each of the scores asked for, and `recall_any` with every prediction kept.
    """

    low: float
    high: float | None
    faces: int
    recall: dict[str, float | None]
    recall_any: float | None


@dataclass(frozen=True)
class ScoreRange:
    """Predictions with `low` <= score < `high` (the last: <= 1): their mean score, their precision.

    Where scores are calibrated, both are the same.
    """

    low: float
    high: float
    predictions: int
    mean_score: float | None
    precision: float | None


def operating_point(matches: Matches, subset: int, score: float) -> OperatingPoint:
    """Return recall, precision and false alarms at a score threshold."""
    kept = matches.scores >= score
    outcome = matches.outcomes(subset)[kept]
    hits, alarms = int((outcome == 1).sum()), int((outcome == 0).sum())
    return OperatingPoint(
        score,
        _share(hits, int(matches.kept[subset].sum())),
        _share(hits, hits + alarms),
        _share(alarms, len(matches.names)),
    )


def point_for_false_positives(
    matches: Matches, subset: int, per_image: float
) -> OperatingPoint | None:
    """Return the point with the lowest threshold that has at most so many false alarms an image.

    None where even the highest score has more.
    """
    outcome = matches.outcomes(subset)
    alarms = np.sort(matches.scores[outcome == 0])[::-1]
    allowed = int(per_image * len(matches.names) + 1e-9)
    bound = alarms[allowed] if len(alarms) > allowed else -np.inf
    eligible = matches.scores[matches.scores > bound]
    if not len(eligible):
        return None
    return operating_point(matches, subset, float(eligible.min()))


def by_height(matches: Matches, subset: int, scores: tuple[float, ...]) -> list[HeightRange]:
    """Return the recall of small and large faces; `scores` are the thresholds to show."""
    counted = matches.kept[subset]
    best = best_scores(matches)
    ranges = []
    for low, high in pairwise(HEIGHTS):
        chosen = counted & (matches.face_height >= low) & (matches.face_height < high)
        found, faces = best[chosen], int(chosen.sum())
        ranges.append(
            HeightRange(
                low,
                high if np.isfinite(high) else None,
                faces,
                {f"{score:g}": _share(int((found >= score).sum()), faces) for score in scores},
                _share(int(np.isfinite(found).sum()), faces),
            )
        )
    return ranges


def best_scores(matches: Matches) -> npt.NDArray[np.float64]:
    """Return for every face (F,) the score of the prediction that found it, -inf for none."""
    best = np.full(len(matches.face_image), -np.inf)
    best[matches.face[matches.first]] = matches.scores[matches.first]
    return best


def calibration(matches: Matches, subset: int, ranges: int = 10) -> list[ScoreRange]:
    """Return how often predictions of each score range are right."""
    outcome = matches.outcomes(subset)
    scores, hit = matches.scores[outcome >= 0], outcome[outcome >= 0] == 1
    bins = np.clip((scores * ranges).astype(np.int64), 0, ranges - 1)
    counts = np.bincount(bins, minlength=ranges)
    sums = np.bincount(bins, scores, minlength=ranges)
    hits = np.bincount(bins, hit, minlength=ranges)
    return [
        ScoreRange(
            index / ranges,
            (index + 1) / ranges,
            int(counts[index]),
            _share(float(sums[index]), int(counts[index])),
            _share(int(hits[index]), int(counts[index])),
        )
        for index in range(ranges)
    ]


def expected_calibration_error(ranges: list[ScoreRange]) -> float | None:
    """Return the mean |score - precision| over predictions (Naeini et al. 2015)."""
    gaps = [
        (each.predictions, abs(each.mean_score - each.precision))
        for each in ranges
        if each.mean_score is not None and each.precision is not None
    ]
    return _share(sum(count * gap for count, gap in gaps), sum(count for count, _ in gaps))


def describe(matches: Matches, subset: int) -> dict[str, Any]:
    """Return all of it in the JSON form."""
    ranges = calibration(matches, subset)
    return {
        "by_height": [asdict(each) for each in by_height(matches, subset, (0.5, 0.7))],
        "operating_points": [asdict(operating_point(matches, subset, score)) for score in SCORES],
        "calibration": [asdict(each) for each in ranges],
        "expected_calibration_error": expected_calibration_error(ranges),
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
