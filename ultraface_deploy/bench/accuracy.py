"""Accuracy from `eval --json`, to be set against latency."""

# Tested by tests/bench/test_recommend.py.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.bench.measurement import Measurement
from ultraface_deploy.safe.records import Amount, Positive, Version, read

SETS = ("easy", "medium", "hard")


@dataclass(frozen=True)
class Accuracies:
    """AP of each set of WIDER FACE, by what was evaluated."""

    by_subject: Mapping[tuple[str, str, str, str], Mapping[str, float]]

    def of(self, measurement: Measurement) -> Mapping[str, float] | None:
        """Return the AP of the same model, input, backend and precision; None where unknown."""
        m = measurement
        return self.by_subject.get((m.model, m.input, m.backend, m.precision))

    @classmethod
    def load(cls, path: Path) -> Accuracies:
        """Read a file that `eval --json` wrote.

        Raises:
            InputError: there is no such file, or it holds something else.
        """
        found = read(path, _File, "JSON result of eval", "run eval again")
        return cls({row.subject: row.aps for row in found.results})


@dataclass(frozen=True)
class _Size:
    width: Positive
    height: Positive


@dataclass(frozen=True)
class _Row:
    """What is read of an evaluation; `accuracy.result` reads more."""

    model: str
    input: _Size
    backend: str
    precision: str
    easy: Amount | None
    medium: Amount | None
    hard: Amount | None

    @property
    def subject(self) -> tuple[str, str, str, str]:
        return self.model, f"{self.input.width}x{self.input.height}", self.backend, self.precision

    @property
    def aps(self) -> dict[str, float]:
        return {name: ap for name in SETS if (ap := getattr(self, name)) is not None}


@dataclass(frozen=True)
class _File:
    schema: Version
    results: list[_Row]
