"""What a run measures of itself, in a CSV that opens anywhere."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ultraface_deploy.safe.files import replacing

LOSSES = (
    *("total", "features", "label_scores", "label_boxes", "label_overlap"),
    *("output_scores", "output_boxes"),
)
PRECISIONS = (
    "ap",
    *(
        f"{geometry}_{level}"
        for geometry in ("stretched", "kept")
        for level in ("easy", "medium", "hard")
    ),
)
_COLUMNS = ("stage", "epoch", "images", "lr", "seconds", *PRECISIONS, *LOSSES)


class Metrics:
    """Adds a row for every epoch; `images` counts all that the run has seen."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.csv"

    def begin(self) -> None:
        """Write the names of the columns, by which a run is known before it has saved anything."""
        if not self._path.exists():
            with replacing(self._path) as temporary, temporary.open("w", newline="") as file:
                csv.writer(file).writerow(_COLUMNS)

    def cut(self, images: int) -> None:
        """Drop what a killed run wrote beyond the checkpoint that training goes on from."""
        if not self._path.exists():
            return
        with self._path.open(newline="", encoding="utf-8-sig") as file:
            head, *rows = csv.reader(file)
        column = head.index("images")
        kept = [row for row in rows if len(row) == len(head) and int(row[column]) <= images]
        with replacing(self._path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([head, *kept])

    def rows(self) -> list[dict[str, str]]:
        """Return what has been added, as it was written."""
        if not self._path.exists():
            return []
        with self._path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))

    def add(self, row: Mapping[str, float | str]) -> None:
        """Add the values of an epoch."""
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS, restval="")
            writer.writerow({key: _rounded(value) for key, value in row.items()})


def _rounded(value: float | str) -> float | str:
    return float(f"{value:.5g}") if isinstance(value, float) else value
