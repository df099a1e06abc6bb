"""What preprocessing and postprocessing cost beside the network, on one thread.

python -m ultraface_deploy.benchmarks.pipeline PHOTO [MODEL]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ultraface_deploy.benchmarks.command import command, existing, network
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.models import DEFAULT_MODEL
from ultraface_deploy.pipeline import postprocess, preprocess
from ultraface_deploy.safe.images import read_image

_ROUNDS = 500


def stage_ms(photo: Path, model: str = DEFAULT_MODEL) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds of thread time of each stage, interleaved round by round.

    Of each first as in a loop over pictures, where the stage before has taken the caches; then the
    same at once again, which is what the code itself costs.
    """
    cv2.setNumThreads(1)
    image = read_image(photo)
    size = (image.shape[1], image.shape[0])
    detector = Detector.open(model, backend="onnxruntime", threads=1)
    tensor, outputs = np.empty(detector.spec.input_shape, np.float32), {}
    # As `Detector.detect` does it: one tensor for all pictures, and outputs that were just written.
    stages: dict[str, Callable[[], object]] = {
        "preprocess": lambda: preprocess(image, detector.spec, tensor),
        "inference": lambda: outputs.update(detector.session.run(tensor)),
        "postprocess": lambda: postprocess(
            outputs["scores"], outputs["boxes"], detector.spec, size, detector.options
        ),
    }
    taken: dict[str, tuple[list[float], list[float]]] = {stage: ([], []) for stage in stages}
    for again in range(2):
        for _ in range(_ROUNDS):
            for stage, do in stages.items():
                if again:
                    do()
                began = time.thread_time()
                do()
                taken[stage][again].append((time.thread_time() - began) * 1000)
    return {
        stage: (statistics.median(first), statistics.median(second))
        for stage, (first, second) in taken.items()
    }


def main() -> None:
    """Print the stages and their share of the network's own time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=existing)
    parser.add_argument("model", nargs="?", type=network, default=DEFAULT_MODEL)
    asked = parser.parse_args()
    stages = stage_ms(asked.photo, asked.model)
    print(f"{'':<26} in a loop  at once again")
    for stage, (first, second) in stages.items():
        print(f"{stage:<26} {first:6.3f} ms {second:9.3f} ms")
    shares = [
        (stages["preprocess"][which] + stages["postprocess"][which]) / stages["inference"][which]
        for which in range(2)
    ]
    print(f"{'pre- and postprocessing':<26} {shares[0]:6.0%} {shares[1]:12.0%}  of the network")


if __name__ == "__main__":
    command(main)
