"""Runs `detect` on a folder of very many pictures and says how its memory went.

python -m tests.faults.folder MODEL --pictures 100000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import psutil

from tests.conftest import ROOT
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

_MARKS = 10


def detect_in_folder(model: Path, pictures: int, scratch: Path) -> dict[str, object]:
    """Detect in so many links to two pictures.

    Returns:
        The resident MiB of the process after each tenth but the last of the pictures, and
        `growth_mb` from the first of these to the last.
    """
    folder = scratch / "pictures"
    folder.mkdir()
    for number, name in enumerate(("face.jpg", "none.jpg")):
        cv2.imwrite(str(scratch / name), read_image(DEMO_PHOTO)[:: 4 + 8 * number, ::4])
    for number in range(pictures):
        os.link(scratch / ("face.jpg", "none.jpg")[number % 2], folder / f"{number:06}.jpg")
    report, started, marks = scratch / "faces.csv", time.monotonic(), []
    command = ("ultraface_deploy", "detect", str(folder), "--model", str(model))
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--json", str(scratch / "f.json"), "--csv", str(report)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for number, _ in enumerate(process.stdout, 1):
        if number % (pictures // _MARKS) == 0 and number < pictures:
            marks.append(psutil.Process(process.pid).memory_info().rss / 2**20)
    assert process.wait() == 0
    found = json.loads((scratch / "f.json").read_text())["results"]
    assert len(found) == pictures
    return {
        "pictures": pictures,
        "faces": sum(len(each["faces"]) for each in found),
        "seconds": round(time.monotonic() - started),
        "rss_mb": [round(mark, 1) for mark in marks],
        "growth_mb": round(marks[-1] - marks[0], 1),
    }


def main() -> None:
    """Print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pictures", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(detect_in_folder(options.model, options.pictures, Path(scratch))))


if __name__ == "__main__":
    main()
