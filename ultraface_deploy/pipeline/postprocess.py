"""From the network's outputs to faces."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.nms import NmsKind, nms


@dataclass(frozen=True)
class Faces:
    """What was found in one image, best first.

    `boxes` (N, 4) float32 x1 y1 x2 y2 in pixels of the image (a face at the border may reach
    beyond it), `scores` (N,) float32 in 0..1, `labels` (N,) int64 class indices from 1.
    """

    boxes: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 4), np.float32))
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class PostprocessOptions:
    """What is kept of the network's outputs; the defaults are those of the Python demos.

    `candidates`: the best boxes per class that enter NMS; `top_k`: the faces kept after it,
    None for all.
    """

    score_threshold: float = 0.5
    iou_threshold: float = 0.3
    nms: NmsKind = "hard"
    candidates: int = 200
    top_k: int | None = None


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
    top = slice(options.top_k)
    return Faces(faces.boxes[top], faces.scores[top], faces.labels[top])


def _faces_of_class(
    scores: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    spec: ModelSpec,
    image_size: tuple[float, float],
    options: PostprocessOptions,
    label: int,
) -> Faces:
    # Few anchors pass the threshold, so everything after this line works on a handful of rows.
    chosen = np.flatnonzero(scores > options.score_threshold)
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
        score_threshold=options.score_threshold,
    )
    return Faces(
        kept.astype(np.float32, copy=False),
        values.astype(np.float32, copy=False),
        np.full(len(values), label, dtype=np.int64),
    )


def _merge(found: list[Faces]) -> Faces:
    scores = np.concatenate([faces.scores for faces in found])
    order = np.argsort(-scores, kind="stable")
    return Faces(
        np.concatenate([faces.boxes for faces in found])[order],
        scores[order],
        np.concatenate([faces.labels for faces in found])[order],
    )
