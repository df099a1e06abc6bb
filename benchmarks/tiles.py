"""Recall of small faces in large pictures: plain input against tiles.

python -m ultraface_deploy.benchmarks.tiles WIDER [--split val] [--least 1000] [--model slim-320]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt

from ultraface_deploy.benchmarks.command import command, existing, network
from ultraface_deploy.detect.detector import Detector, open_detector
from ultraface_deploy.pipeline import PostprocessOptions, iou_matrix
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.safe.images import read_image
from ultraface_deploy.train.data import Sample, read_dataset

# Geometric mean of a face's sides in pixels of the picture.
SIZES = ((0, 16), (16, 32), (32, 64), (64, 10_000))
_OPTIONS = PostprocessOptions(0.5, candidates=800)


def matched(
    found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Return which of the wanted boxes (N, 4) a found one covers with an IoU of at least 0.5."""
    taken = np.zeros(len(wanted), bool)
    if not len(found) or not len(wanted):
        return taken
    for row in iou_matrix(found, wanted):
        best = int(np.where(taken, -1.0, row).argmax())
        taken[best] |= bool(row[best] >= 0.5)
    return taken


def measure(detector: Detector, samples: list[Sample]) -> str:
    """Return recall by size, false alarms per picture, and seconds per picture."""
    sides: list[float] = []
    hits: list[bool] = []
    false, started = 0, time.process_time()
    for sample in samples:
        faces = detector.detect(read_image(sample.image))
        hit = matched(faces.boxes, sample.boxes)
        false += len(faces) - int(hit.sum())
        wanted = ~sample.ignored
        sides += np.sqrt((sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(axis=1))[wanted].tolist()
        hits += hit[wanted].tolist()
    spent = (time.process_time() - started) / len(samples)
    size, found = np.array(sides), np.array(hits)
    parts = [found[(size >= low) & (size < high)].mean() for low, high in SIZES]
    recall = " | ".join(f"{part:.3f}" for part in [*parts, found.mean()])
    return f"{recall} | {false / len(samples):.2f} | {1000 * spent:.0f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=existing)
    parser.add_argument("--split", default="val")
    parser.add_argument("--least", type=int, default=1000, help="longest side of a large picture")
    parser.add_argument("--model", type=network, default="slim-320")
    asked = parser.parse_args()
    samples = [
        sample
        for sample in read_dataset(asked.data, asked.split)
        if max(read_image(sample.image).shape[:2]) >= asked.least
    ]
    heads = [f"{low}-{high} px" for low, high in SIZES]
    print(f"{len(samples)} pictures, recall at score 0.5 by size of face")
    print(f"| input | {' | '.join(heads)} | all | false per picture | CPU ms |")
    print("|---|" + "---:|" * (len(heads) + 3))
    for name, size, view in (
        ("320x240", None, View()),
        ("640x480", (640, 480), View()),
        ("320x240, --tiles auto", None, View(tiles="auto")),
        ("320x240, --tiles 3x3", None, View(tiles=(3, 3))),
    ):
        with open_detector(asked.model, options=_OPTIONS, input_size=size, view=view) as detector:
            print(f"| {name} | {measure(detector, samples)} |", flush=True)


if __name__ == "__main__":
    command(main)
