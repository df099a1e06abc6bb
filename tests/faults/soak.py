"""Runs each backend a million times and says how its memory went: `make soak`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import psutil

from ultraface_deploy import Detector
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

_MARKS = 10


def soak(model: Path, backend: str, inferences: int) -> dict[str, object]:
    """Detect in cut-outs of a photograph, 1x1 to 240x240.

    Returns:
        The resident MiB after each tenth, and `growth_mb` from the first of these to the last:
        whatever a runtime sets up for itself it has by then.
    """
    random = np.random.default_rng(0)
    photo = read_image(DEMO_PHOTO)[:400, :400]
    process, marks, faces = psutil.Process(), [], 0
    started = time.monotonic()
    with Detector.open(model, backend) as detector:
        for count in range(1, inferences + 1):
            top, left, height, width = random.integers(1, (160, 160, 240, 240)).tolist()
            faces += len(detector.detect(photo[top : top + height, left : left + width]).boxes)
            if count % (inferences // _MARKS) == 0:
                marks.append(process.memory_info().rss / 2**20)
    return {
        "backend": backend,
        "inferences": inferences,
        "faces": faces,
        "seconds": round(time.monotonic() - started),
        "rss_mb": [round(mark, 1) for mark in marks],
        "growth_mb": round(marks[-1] - marks[0], 2),
    }


def main() -> None:
    """Print one line of JSON a backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--backend", action="append")
    parser.add_argument("--inferences", type=int, default=1_000_000)
    options = parser.parse_args()
    for backend in options.backend or ["onnxruntime", "mnn", "ncnn", "opencv", "torch"]:
        print(json.dumps(soak(options.model, backend, options.inferences)), flush=True)


if __name__ == "__main__":
    main()
