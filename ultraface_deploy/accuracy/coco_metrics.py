"""COCO-style AP through faster-coco-eval, which follows the COCO API (Lin et al. 2014)."""

# Tested by tests/accuracy/test_run.py.

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.wider import Detections, TruthImage

_NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def require_coco() -> None:
    """Refuse to go on without the package.

    Raises:
        MissingDependency: says what to install.
    """
    if find_spec("faster_coco_eval") is None:
        raise MissingDependency.package("faster-coco-eval", "eval", "COCO-style AP")


def coco_metrics(
    predictions: Mapping[str, Detections], images: Sequence[TruthImage], subset: int
) -> dict[str, float | None]:
    """Return AP over IoU 0.50 to 0.95, at 0.5 and 0.75, and by COCO's areas.

    COCO's rules, not WIDER FACE's: up to 100 predictions an image, IoU without the extra pixel,
    faces that the set does not count as crowd regions. None where no face has such an area.

    Raises:
        MissingDependency: faster-coco-eval is not installed.
    """
    require_coco()
    from faster_coco_eval import COCO, COCOeval_faster

    found = _results(predictions, images)
    # The package prints its progress and its table; standard output is for our results.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(_dataset(images, subset))
        evaluation = COCOeval_faster(truth, truth.loadRes(found), "bbox") if found else None
        if evaluation is not None:
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
    if evaluation is None:
        return dict.fromkeys(_NAMES, 0.0)
    values = [float(value) for value in evaluation.stats[: len(_NAMES)]]
    return {name: value if value >= 0 else None for name, value in zip(_NAMES, values, strict=True)}


def _dataset(images: Sequence[TruthImage], subset: int) -> dict[str, Any]:
    annotations = [
        {"image_id": index, "bbox": box, "area": box[2] * box[3], "iscrowd": int(not kept)}
        for index, image in enumerate(images, 1)
        for box, kept in zip(_as_xywh(image.boxes), image.kept[subset], strict=True)
    ]
    return {
        "info": {},
        "images": [{"id": index, "file_name": i.name} for index, i in enumerate(images, 1)],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [
            {"id": index, "category_id": 1, **each} for index, each in enumerate(annotations, 1)
        ],
    }


def _results(
    predictions: Mapping[str, Detections], images: Sequence[TruthImage]
) -> list[dict[str, Any]]:
    results = []
    for index, image in enumerate(images, 1):
        boxes, scores = predictions.get(image.name, (np.empty((0, 4)), np.empty(0)))
        sound = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        for box, score in zip(_as_xywh(boxes[sound]), scores[sound].tolist(), strict=True):
            results.append({"image_id": index, "category_id": 1, "bbox": box, "score": score})
    return results


def _as_xywh(corners: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> list[list[float]]:
    boxes: list[list[float]] = np.column_stack(
        [corners[:, :2], corners[:, 2:] - corners[:, :2]]
    ).tolist()
    return boxes
