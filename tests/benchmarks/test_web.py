"""The benchmark of the browser's detector, against a stand-in that takes a known time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.benchmarks.web import in_node


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_median_of_what_a_detection_takes(tmp_path: Path) -> None:
    site = tmp_path / 'a "site"'
    site.mkdir()
    (site / "package.json").write_text('{"type": "module"}')
    # It takes 4 ms, and now and then much longer.
    (site / "detector.js").write_text(
        "let turn = 0;\n"
        "export class Detector {\n"
        "  static async load(options) { if (options.worker) throw 1; return new Detector(); }\n"
        "  async detect(picture) {\n"
        "    if (picture.data.length !== 4 * picture.width * picture.height) throw 2;\n"
        "    const wait = turn++ % 5 ? 4 : 200, start = process.cpuUsage();\n"
        "    while (process.cpuUsage(start).user < 1000 * wait);\n"
        "  }\n"
        "}\n"
    )
    found = in_node(site, np.zeros((6, 9, 3), np.uint8), 15)
    assert 4 <= found < 40  # where the mean is more
