"""Runs each backend for minutes and says how much its memory has grown: `make soak`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import psutil

from ultraface_deploy import Detector

_WARM_UP = 200


def soak(model: Path, backend: str, seconds: float) -> dict[str, object]:
    """Detect in pictures of changing sizes and return how often, and the growth in MiB."""
    random = np.random.default_rng(0)
    process = psutil.Process()
    with Detector.open(model, backend) as detector:
        started, count, first = time.monotonic(), 0, 0
        while time.monotonic() - started < seconds or count < 2 * _WARM_UP:
            height, width = random.integers(1, 600, 2)
            detector.detect(random.integers(0, 255, (height, width, 3), dtype=np.uint8))
            count += 1
            if count == _WARM_UP:
                first = process.memory_info().rss
        growth = (process.memory_info().rss - first) / 2**20
    return {
        "backend": backend,
        "inferences": count,
        "seconds": round(time.monotonic() - started),
        "growth_mb": round(growth, 1),
    }


def main() -> None:
    """Print one line of JSON a backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--backend", action="append")
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    for backend in options.backend or ["onnxruntime", "mnn", "ncnn", "opencv", "torch"]:
        print(json.dumps(soak(options.model, backend, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
