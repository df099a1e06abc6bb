"""The rows of a run: what a killed run wrote beyond its checkpoint goes again."""

from __future__ import annotations

import csv
from pathlib import Path

from ultraface_deploy.train.metrics import Metrics


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_added_and_cut(tmp_path: Path) -> None:
    kept = Metrics(tmp_path)
    assert kept.rows() == []
    kept.begin()
    kept.cut(0)
    assert kept.rows() == []
    for images in (8, 16, 24):
        kept.add({"stage": "labels", "images": images, "total": 1 / 3, "lr": 0.01})
    assert [row["total"] for row in rows(tmp_path)] == ["0.33333"] * 3
    kept.begin()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("labels,3")
    Metrics(tmp_path).cut(16)
    assert [row["images"] for row in rows(tmp_path)] == ["8", "16"]
    assert Metrics(tmp_path).rows() == rows(tmp_path)
