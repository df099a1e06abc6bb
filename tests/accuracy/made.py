"""Results made up for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ultraface_deploy.accuracy import Evaluation, Result
from ultraface_deploy.wider import TruthImage, match_images, tally_matches


def result(lost: float, artifact: str = "onnx", seed: int = 0, images: int = 60) -> Result:
    """A detector that misses a share of the faces: three an image, and one false alarm."""
    random = np.random.default_rng(seed)
    boxes = np.array([[0, 0, 20, 20], [50, 0, 70, 20], [100, 0, 120, 20.0]])
    truth = [TruthImage(f"e/{i}", boxes, np.ones((3, 3), bool)) for i in range(images)]
    found = {}
    for image in truth:
        kept = boxes[random.random(3) >= lost]
        alarms = np.vstack([kept, [200, 200, 220, 220.0]])
        found[image.name] = alarms, np.append(np.full(len(kept), 0.9), 0.1)
    subject = {
        "model": "m", "artifact": artifact, "backend": "b", "precision": "fp32",
        "input": {"width": 320, "height": 240}, "bytes": 1000,
    }  # fmt: skip
    details = {"operating_points": [], "agreement": None}
    return Result(subject, tally_matches(match_images(found, truth)), details=details)


def written(path: Path, *results: Result) -> Path:
    path.write_text(json.dumps(Evaluation({"name": "WIDER FACE"}, results).to_dict()))
    return path
