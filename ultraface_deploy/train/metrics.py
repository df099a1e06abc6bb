"""What a run measures of itself: a CSV that opens anywhere, and TensorBoard's event file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.safe.files import replacing

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError as error:
    raise MissingDependency.package("tensorboard", "train", "training") from error

_LOSSES = ("total", "features", "label_scores", "label_boxes", "output_scores", "output_boxes")
_PRECISIONS = (
    "ap",
    *(
        f"{geometry}_{level}"
        for geometry in ("stretched", "kept")
        for level in ("easy", "medium", "hard")
    ),
)
_COLUMNS = ("stage", "epoch", "images", "lr", "seconds", *_PRECISIONS, *_LOSSES)


class Metrics:
    """Adds a row for every epoch; `images` counts all that the run has seen."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.csv"
        self._writer = SummaryWriter(str(folder))

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

    def add(self, row: Mapping[str, float | str], images: int) -> None:
        """Add the values of an epoch."""
        new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS, restval="")
            if new:
                writer.writeheader()
            writer.writerow({key: _rounded(value) for key, value in row.items()})
        for key in ("lr", *_PRECISIONS, *_LOSSES):
            if key in row:
                self._writer.add_scalar(key, float(row[key]), images)
        self._writer.flush()


def _rounded(value: float | str) -> float | str:
    return float(f"{value:.5g}") if isinstance(value, float) else value
