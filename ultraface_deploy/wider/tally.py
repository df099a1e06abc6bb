"""Hits and false alarms by image and score: all that precision, recall and AP are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ultraface_deploy.wider.matching import Matches

Counts = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """AP, and precision and recall (T,) from the highest score threshold to the lowest.

    AP and recall are NaN where a set counts no face.
    """

    ap: float
    precision: Reals
    recall: Reals


@dataclass(frozen=True)
class Tally:
    """Counts over S sets and I images.

    A row k of K says: with scores in bin `bin[k]` (K,), 0 the highest, image `image[k]` (K,) has
    `hits[s, k]` (S, K) hits and `alarms[s, k]` (S, K) false alarms. `faces` (S, I) are the faces
    that a set counts in an image.
    """

    sets: tuple[str, ...]
    names: tuple[str, ...]
    bins: int
    image: Counts
    bin: Counts
    hits: Counts
    alarms: Counts
    faces: Counts

    @classmethod
    def of(
        cls,
        matches: Matches,
        sets: Sequence[str],
        bins_of_scores: Counts,
        bins: int,
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> Tally:
        """Count matched predictions.

        Args:
            matches: P predictions.
            sets: names of the rows of `matches.kept`.
            bins_of_scores: (P,) from 0 for the best.
            bins: how many bins there are.
            counted: (P,) False for predictions to leave out of all sets; None for none.
        """
        outcomes = np.array([matches.outcomes(subset) for subset in range(len(sets))])
        if counted is not None:
            outcomes[:, ~counted] = -1
        cells, row = np.unique(matches.image * bins + bins_of_scores, return_inverse=True)
        hits, alarms = (
            np.array([np.bincount(row[each == kind], minlength=len(cells)) for each in outcomes])
            for kind in (1, 0)
        )
        used = (hits + alarms).any(axis=0)
        return cls(
            sets=tuple(sets),
            names=matches.names,
            bins=bins,
            image=cells[used] // bins,
            bin=cells[used] % bins,
            hits=hits[:, used],
            alarms=alarms[:, used],
            faces=matches.faces,
        )

    def curve(self, subset: str, weights: Counts | None = None) -> Curve:
        """Return the precision-recall curve of a set.

        Args:
            subset: one of `sets`.
            weights: (I,) how often each image counts, for resampling; None for once.
        """
        index = self.sets.index(subset)
        hits, alarms = (self._cumulated(part[index], weights) for part in (self.hits, self.alarms))
        faces = self.faces[index] if weights is None else self.faces[index] * weights
        precision, recall = precision_recall(hits, alarms, int(faces.sum()))
        return Curve(average_precision(precision, recall), precision, recall)

    def _cumulated(self, counts: Counts, weights: Counts | None) -> Reals:
        weighted = counts if weights is None else counts * weights[self.image]
        counted = np.bincount(self.bin, weighted, minlength=self.bins)
        return counted.cumsum(dtype=np.float64)


def precision_recall(hits: Reals, alarms: Reals, faces: int) -> tuple[Reals, Reals]:
    """Return precision and recall (T,) from cumulated counts (T,).

    Precision is 0 where nothing is predicted; recall is NaN without faces.
    """
    total = hits + alarms
    precision = np.divide(hits, total, out=np.zeros_like(total), where=total > 0)
    recall = hits / faces if faces else np.full_like(total, np.nan)
    return precision, recall


def average_precision(precision: Reals, recall: Reals) -> float:
    """Return the area under the envelope of a curve (T,) with ascending recall.

    The envelope gives every recall the best precision at that recall or above, as in VOC 2010.
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
