"""The table of throughput: every load by every road, and stages that make up the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy.benchmarks import throughput


@pytest.mark.slow
def test_every_load_has_its_row(tmp_path: Path) -> None:
    _, _, *rows = throughput.table(tmp_path, pictures=2, rounds=1, model="slim-320")
    assert len(rows) == 3
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert float(cells[1]) > 0 and all(float(cell.rstrip("x")) > 0 for cell in cells[5:])
        assert sum(int(cell.rstrip("%")) for cell in cells[2:5]) in range(98, 103)
    assert (tmp_path / "faces.json").is_file() and (tmp_path / "marked.mp4").is_file()
