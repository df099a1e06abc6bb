"""From the network's outputs to faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.faces import Faces
from ultraface_deploy.pipeline.nms import NmsKind, nms


@dataclass(frozen=True)
class PostprocessOptions:
    """What is kept of the network's outputs.

    `score_threshold`: faces score above it; None for the model's own (`ModelSpec`).
    `iou_threshold`: NMS suppresses above it; 0.3 as in the published Python demos.
    `candidates`: the best boxes per class that enter NMS; `top_k`: the faces kept after it, None
    for all.
    """

    score_threshold: float | None = None
    iou_threshold: float = 0.3
    nms: NmsKind = "hard"
    candidates: int = 200
    top_k: int | None = None

    def threshold(self, spec: ModelSpec) -> float:
        """Return the score above which a box is a face of this model."""
        return spec.score_threshold if self.score_threshold is None else self.score_threshold


def postprocess(
    scores: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    spec: ModelSpec,
    image_size: tuple[float, float],
    options: PostprocessOptions | None = None,
) -> Faces:
    """Turn the network's outputs into faces.

    Args:
        scores: (1, N, C) softmax scores, background first.
        boxes: (1, N, 4) raw offsets or decoded corners, as `spec.head` says.
        spec: the network that made them.
        image_size: (width, height) of the image in pixels.
        options: thresholds and NMS kind.
    """
    options = options or PostprocessOptions()
    found = [
        _faces_of_class(scores[0, :, label], boxes[0], spec, image_size, options, label)
        for label in range(1, spec.num_classes)
    ]
    faces = found[0] if len(found) == 1 else _merge(found)
    if options.top_k is None or len(faces) <= options.top_k:
        return faces
    return faces[: options.top_k]


def _faces_of_class(
    scores: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    spec: ModelSpec,
    image_size: tuple[float, float],
    options: PostprocessOptions,
    label: int,
) -> Faces:
    threshold = options.threshold(spec)
    # Few anchors pass the threshold, so everything after this line works on a handful of rows.
    chosen = np.flatnonzero(scores > threshold)
    if len(chosen) > options.candidates:
        # Stable, because scores in INT8 are often equal: of those the first anchors enter, on every
        # machine and in the generated C++.
        best = np.argsort(-scores[chosen], kind="stable")
        chosen = chosen[np.sort(best[: options.candidates])]
    if not len(chosen):
        return Faces()
    corners = boxes[chosen]
    if spec.head == "raw":
        anchors = make_anchors(spec)[chosen]
        corners = decode(corners, anchors, spec.anchors.center_variance, spec.anchors.size_variance)
    pixels = corners * np.array([*image_size, *image_size], dtype=np.float32)
    kept, values = nms(
        pixels,
        scores[chosen],
        kind=options.nms,
        iou_threshold=options.iou_threshold,
        score_threshold=threshold,
    )
    return Faces(
        kept.astype(np.float32, copy=False),
        values.astype(np.float32, copy=False),
        np.full(len(values), label, dtype=np.int64),
    )


def _merge(found: list[Faces]) -> Faces:
    scores = np.concatenate([faces.scores for faces in found])
    order = np.argsort(-scores, kind="stable")
    boxes = np.concatenate([faces.boxes for faces in found])
    labels = np.concatenate([faces.labels for faces in found])
    return Faces(boxes, scores, labels)[order]
