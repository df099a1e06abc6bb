"""From the network's outputs to faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode, decode_points
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.faces import Faces
from ultraface_deploy.pipeline.nms import NmsKind, best_first, parse_nms, suppress


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

    def __post_init__(self) -> None:
        parse_nms(self.nms)
        for name in ("score_threshold", "iou_threshold"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"`{name}` {share:g}: give 0 to 1")
        for name in ("candidates", "top_k"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise InputError(f"`{name}` {count}: give 1 or more")

    def threshold(self, spec: ModelSpec) -> float:
        """Return the score above which a box is a face of this model."""
        return spec.score_threshold if self.score_threshold is None else self.score_threshold


def postprocess(
    scores: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    spec: ModelSpec,
    image_size: tuple[float, float],
    options: PostprocessOptions | None = None,
    landmarks: npt.NDArray[np.float32] | None = None,
) -> Faces:
    """Turn the network's outputs into faces.

    Args:
        scores: (1, N, C) softmax scores, background first.
        boxes: (1, N, 4) decoded corners if `spec.head` says so, else raw offsets.
        spec: the network that made them.
        image_size: (width, height) of the image in pixels.
        options: thresholds and NMS kind.
        landmarks: (1, N, 10) shares of the image if `spec.head` says `decoded`, else offsets; None
            of a network without.
    """
    options = options or PostprocessOptions()
    rows = boxes[0] if landmarks is None else np.concatenate([boxes[0], landmarks[0]], axis=1)
    found = [
        _faces_of_class(scores[0, :, label], rows, spec, image_size, options, label)
        for label in range(1, spec.num_classes)
    ]
    faces = found[0]
    if len(found) > 1:
        faces = Faces.joined(found)
        faces = faces[np.argsort(-faces.scores, kind="stable")]
    if options.top_k is None or len(faces) <= options.top_k:
        return faces
    return faces[: options.top_k]


def _faces_of_class(
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    spec: ModelSpec,
    image_size: tuple[float, float],
    options: PostprocessOptions,
    label: int,
) -> Faces:
    threshold = options.threshold(spec)
    # Few anchors pass the threshold, so everything after this line works on a handful of rows.
    chosen = (scores > threshold).nonzero()[0]
    if not len(chosen):
        return Faces.from_rows(rows[:0], scores[:0], np.empty(0, np.int64), spec.class_names)
    sure = scores.take(chosen)
    order = best_first(sure)[: options.candidates]
    chosen, sure = chosen.take(order), sure.take(order)
    pixels = _decoded(rows, chosen, spec)
    pixels[:, 0::2] *= image_size[0]
    pixels[:, 1::2] *= image_size[1]
    # The exponential of a wild offset is no box, and JSON knows no such number.
    finite = np.isfinite(pixels)
    if not finite.all():
        rows_left = finite.all(axis=1)
        pixels, sure = pixels[rows_left], sure[rows_left]
    kept, values = suppress(
        pixels,
        sure,
        kind=options.nms,
        iou_threshold=options.iou_threshold,
        score_threshold=threshold,
    )
    labels = np.empty(len(values), np.int64)
    labels.fill(label)
    return Faces.from_rows(kept, values, labels, spec.class_names)


def _decoded(
    rows: npt.NDArray[np.float32], chosen: npt.NDArray[np.intp], spec: ModelSpec
) -> npt.NDArray[np.floating]:
    """Return corners, and points after them, of the chosen anchors in shares of the image."""
    found = rows.take(chosen, axis=0)
    if spec.head == "decoded":
        return found
    coding, anchors = spec.anchors, make_anchors(spec).take(chosen, axis=0)
    corners = decode(found[:, :4], anchors, coding.center_variance, coding.size_variance)
    if found.shape[1] == 4:
        return corners
    points = decode_points(found[:, 4:], anchors, coding.center_variance)
    return np.concatenate([corners, points], axis=1)
