"""What a core does of very many pictures: that the figures are those of the work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ultraface_deploy.benchmarks.shards import make, row
from ultraface_deploy.detect.detector import open_detector

pytest.importorskip("pyarrow", reason="needs the extra parquet")


def test_a_row_for_each_way_of_storing(tmp_path: Path) -> None:
    with open_detector() as detector:
        stored = make(tmp_path, (320, 240), 3)
        assert [name for name, _ in stored] == ["files", "tar", "Parquet"]
        figures = [row(detector, store, 3, tmp_path) for _, store in stored]
    for text in figures:
        assert re.fullmatch(r"\d+ \| \d+% \| \d+ kB \| \d+ bytes", text), text
    # The same pictures in each: nothing is left out, and nothing is kept once for several.
    sizes = [int(text.split(" | ")[2].removesuffix(" kB")) for text in figures]
    assert sizes[0] > 5 and max(sizes) - min(sizes) <= 4
    assert not list(tmp_path.glob("part-*"))
