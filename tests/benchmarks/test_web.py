"""The benchmark of the browser's detector, against a stand-in that takes a known time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.benchmarks.web import in_node
from ultraface_deploy.errors import ToolFailed


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_median_of_what_a_detection_takes(tmp_path: Path) -> None:
    site = tmp_path / 'a "site"'
    site.mkdir()
    (site / "package.json").write_text('{"type": "module"}')
    # It takes 2 ms, and now and then much longer.
    (site / "detector.js").write_text(
        "let turn = 0;\n"
        "export class Detector {\n"
        "  static async load({ worker, threads }) {\n"
        "    if (worker) throw 1;\n"
        "    return Object.assign(new Detector(), { threads: Math.min(threads, 2) });\n"
        "  }\n"
        "  async detect(picture) {\n"
        "    if (picture.data.length !== 4 * picture.width * picture.height) throw 2;\n"
        "    const wait = turn++ % 5 ? 2 : 150, start = process.cpuUsage();\n"
        "    const used = ({ user, system }) => user + system;\n"
        "    while (used(process.cpuUsage(start)) < 1000 * wait);\n"
        "  }\n"
        "}\n"
    )
    image = np.zeros((6, 9, 3), np.uint8)
    found = in_node(site, image, 10, threads=2)
    assert 2 <= found.processor < 50  # where the mean is more
    assert found.clock >= 0.9 * found.processor
    with pytest.raises(ToolFailed, match=r"Node\.js failed"):
        in_node(site, image, 1, threads=3)
