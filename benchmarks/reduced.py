"""What decoding JPEGs smaller costs in accuracy: AP on WIDER FACE by how much is left of them.

python -m ultraface_deploy.benchmarks.reduced IMAGES GROUND_TRUTH [--model slim-320] [--limit N]

Every picture is looked at as it is, and enlarged to three times its sides, as a camera of more
pixels would have taken it: the pictures themselves are hardly larger than the network's input.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from ultraface_deploy.accuracy.settings import EvalSettings
from ultraface_deploy.benchmarks.command import command, existing, network
from ultraface_deploy.detect.detector import Detector, open_detector
from ultraface_deploy.safe.images import read_image, read_picture
from ultraface_deploy.wider import SETS, Detections, TruthImage, read_ground_truth, score

# Times the network's input that must be left of a picture; None for all of it.
LEFT: tuple[float | None, ...] = (None, 3.0, 2.0, 1.5, 1.0)
_LARGER = 3
_QUALITY = 92


def looked_at(
    path: Path, detector: Detector, left: float | None, scale: float
) -> tuple[int, Detections]:
    """Return how much smaller a picture was decoded, and what was found in pixels divided by scale.

    Args:
        path: a JPEG.
        detector: what looks at it.
        left: times the network's input that must be left of it.
        scale: how much larger than the picture that the truth is about.
    """
    spec = detector.spec
    least = None if left is None else (round(left * spec.width), round(left * spec.height))
    picture = read_picture(path, least)
    faces = detector.detect(picture.image, picture.reduction)
    factor = 1 if picture.reduction is None else picture.reduction.factor
    return factor, (faces.boxes / scale, faces.scores)


def table(images: Path, truth: list[TruthImage], detector: Detector) -> Iterator[str]:
    """Yield the lines of a table in Markdown, one for each kind of picture and what is left."""
    found: dict[tuple[int, float | None], dict[str, Detections]] = {}
    smaller: dict[tuple[int, float | None], int] = {}
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.jpg"
        for image in truth:
            path = images / f"{image.name}.jpg"
            picture = cv2.resize(read_image(path), None, fx=_LARGER, fy=_LARGER, interpolation=2)
            cv2.imwrite(str(large), picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            for scale, file in ((1, path), (_LARGER, large)):
                for left in LEFT:
                    factor, detections = looked_at(file, detector, left, scale)
                    found.setdefault((scale, left), {})[image.name] = detections
                    smaller[scale, left] = smaller.get((scale, left), 0) + (factor > 1)
    yield f"| pictures | left | decoded smaller | {' | '.join(SETS)} | largest drop |"
    yield "|---|---|---:|" + "---:|" * (len(SETS) + 1)
    for (scale, left), predictions in found.items():
        reached = [curve.ap for curve in score(predictions, truth).values()]
        whole = [curve.ap for curve in score(found[scale, None], truth).values()]
        drop = max(before - now for before, now in zip(whole, reached, strict=True))
        shown = " | ".join(f"{value:.4f}" for value in reached)
        size = "as they are" if scale == 1 else f"{scale} times as large"
        least = "all" if left is None else f"{left:g} times the input"
        share = smaller[scale, left] / len(truth)
        yield f"| {size} | {least} | {share:.0%} | {shown} | {drop:.4f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=existing, help="the folder of events, .../WIDER_val/images")
    parser.add_argument("truth", type=existing, help="the folder of the official evaluation files")
    parser.add_argument("--model", type=network, default="slim-320")
    parser.add_argument("--limit", type=int)
    asked = parser.parse_args()
    listed = read_ground_truth(asked.truth)
    truth = [image for image in listed if (asked.images / f"{image.name}.jpg").is_file()]
    options = EvalSettings().postprocess
    with open_detector(asked.model, options=options) as detector:
        for line in table(asked.images, truth[: asked.limit], detector):
            print(line, flush=True)


if __name__ == "__main__":
    command(main)
