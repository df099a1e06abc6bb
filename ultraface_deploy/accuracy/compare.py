"""Two results side by side, with the uncertainty that comes from the choice of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ultraface_deploy.accuracy.result import Result
from ultraface_deploy.errors import InputError


@dataclass(frozen=True)
class Change:
    """AP of one set before and after; `low` and `high` bound the change at the confidence level.

    A change below zero is a loss.
    """

    set: str
    before: float
    after: float
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Pairing:
    """A result compared with a baseline on the same images."""

    before: Result
    after: Result
    changes: tuple[Change, ...]

    @property
    def largest_drop(self) -> float:
        """The largest loss of AP over the sets; negative where all gained."""
        return max((-each.change for each in self.changes), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "before": dict(self.before.subject),
            "after": dict(self.after.subject),
            "images": len(self.before.tally.names),
            "changes": [asdict(each) for each in self.changes],
            "largest_drop": self.largest_drop,
            "operating_points": {
                "before": self.before.details["operating_points"],
                "after": self.after.details["operating_points"],
            },
        }


def pair_up(before: Sequence[Result], after: Sequence[Result]) -> list[tuple[Result, Result]]:
    """Decide what is compared with what: one baseline with all, else the same with the same.

    Raises:
        InputError: there are several on both sides and none has its like on the other.
    """
    if len(before) == 1:
        return [(before[0], each) for each in after]
    by_key = {_key(each): each for each in before}
    pairs = [(by_key[_key(each)], each) for each in after if _key(each) in by_key]
    if not pairs:
        raise InputError(
            "the two files have no artifact on the same backend in common; "
            "let the first hold the one result to compare with"
        )
    return pairs


def compare_results(
    before: Result, after: Result, samples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Pairing:
    """Compare two results on the same images by a paired bootstrap (Efron 1979) over images.

    Images are drawn with replacement, the same for both results; the bounds are percentiles of
    the change. The normalisation of scores stays that of the whole set.

    Raises:
        InputError: the results are of other images or other ground truth.
    """
    first, second = before.tally, after.tally
    if (first.sets, first.names) != (second.sets, second.names) or not np.array_equal(
        first.faces, second.faces
    ):
        raise InputError(
            f"{before.label} and {after.label} were evaluated on other images "
            f"({len(first.names)} and {len(second.names)}); evaluate both on the same"
        )
    old, new = before.ap(), after.ap()
    # A set that counts no face on these images has nothing to compare.
    sets = [name for name in first.sets if not np.isnan(old[name])]
    generator = np.random.default_rng(seed)
    count = len(first.names)
    draws = np.empty((samples, len(sets)))
    for row in draws:
        weights = np.bincount(generator.integers(count, size=count), minlength=count)
        row[:] = [second.curve(name, weights).ap - first.curve(name, weights).ap for name in sets]
    tail = (1 - confidence) / 2
    # A draw without any face of a set says nothing about it.
    lows, highs = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    changes = (
        Change(name, old[name], new[name], new[name] - old[name], float(low), float(high))
        for name, low, high in zip(sets, lows, highs, strict=True)
    )
    return Pairing(before, after, tuple(changes))


def _key(result: Result) -> tuple[Any, ...]:
    subject = result.subject
    return subject["artifact"], subject["backend"], subject["precision"], str(subject["input"])
