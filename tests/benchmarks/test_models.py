from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Convert
from ultraface_deploy.benchmarks.models import describe, to_markdown


@pytest.mark.parametrize(
    ("name", "parameters", "macs"), [("slim", 257_916, 81.4e6), ("RFB", 273_888, 100.4e6)]
)
def test_the_published_networks(
    name: str, parameters: int, macs: float, converted: Convert, checkpoints: Path
) -> None:
    folder = converted(checkpoints / f"version-{name}-320.pth", "onnx")
    row = describe(folder)
    assert row.cost.parameters == parameters
    assert row.cost.macs == pytest.approx(macs, abs=0.05e6)
    assert row.sizes["onnx"] == folder.files(folder.find("onnx"))[0].stat().st_size
    table = to_markdown([row]).splitlines()
    assert f"{parameters:,}" in table[2]
    assert len({line.count("|") for line in table}) == 1
