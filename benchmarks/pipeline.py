"""What preprocessing and postprocessing cost beside the network, on one thread.

python -m ultraface_deploy.benchmarks.pipeline PHOTO [MODEL]
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import cv2

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.models import DEFAULT_MODEL
from ultraface_deploy.pipeline import postprocess, preprocess
from ultraface_deploy.safe.images import read_image

_ROUNDS = 500


def stage_ms(photo: Path, model: str = DEFAULT_MODEL) -> dict[str, float]:
    """Return the median milliseconds of thread time of each stage, interleaved round by round."""
    cv2.setNumThreads(1)
    image = read_image(photo)
    size = (image.shape[1], image.shape[0])
    detector = Detector.open(model, backend="onnxruntime", threads=1)
    taken: dict[str, list[float]] = {"preprocess": [], "inference": [], "postprocess": []}
    for _ in range(_ROUNDS):
        times = [time.thread_time()]
        tensor = preprocess(image, detector.spec)
        times.append(time.thread_time())
        outputs = detector.session.run(tensor)
        times.append(time.thread_time())
        postprocess(outputs["scores"], outputs["boxes"], detector.spec, size, detector.options)
        times.append(time.thread_time())
        for stage, began, ended in zip(taken, times, times[1:], strict=False):
            taken[stage].append((ended - began) * 1000)
    return {stage: statistics.median(values) for stage, values in taken.items()}


def main() -> None:
    """Print the stages and their share of the network's own time."""
    stages = stage_ms(Path(sys.argv[1]), *sys.argv[2:3])
    for stage, value in stages.items():
        print(f"{stage:<12} {value:.3f} ms")
    beside = stages["preprocess"] + stages["postprocess"]
    print(f"pre- and postprocessing: {beside / stages['inference']:.0%} of the network's own time")


if __name__ == "__main__":
    main()
