"""Accuracy from `eval --json`, to be set against latency."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ultraface_deploy.bench.result import Measurement
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.limits import Limit

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
        require_file(path, "result of eval --json", Limit.TEXT)
        try:
            records = json.loads(read_text(path))["results"]
            return cls({_subject(record): _aps(record) for record in records})
        except PARSE_ERRORS as error:
            raise InputError(f"{path}: not a result of `eval --json` ({error!r})") from error


def _subject(record: Mapping[str, Any]) -> tuple[str, str, str, str]:
    size = record["input"]
    text = f"{size['width']}x{size['height']}"
    return record["model"], text, record["backend"], record["precision"]


def _aps(record: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(record[name]) for name in SETS if record[name] is not None}
