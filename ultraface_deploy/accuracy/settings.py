"""The settings that change an accuracy figure, and how an image meets the network's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import MAX_SIDE, MIN_SIDE, ModelSpec
from ultraface_deploy.pipeline import NmsKind, PostprocessOptions, preprocess
from ultraface_deploy.pipeline.view import letterbox
from ultraface_deploy.safe.images import Image

# Full-size inputs are padded to multiples of the largest stride, so that few sizes occur.
_GRID = 64


@dataclass(frozen=True)
class EvalSettings:
    """Thresholds and resize policy; the defaults are those of the published figures.

    `keep_aspect` fits the image into the network's input and pads the rest with the mean.
    `scale` runs the network on the image at its own size (`original`) or with its longest side
    scaled to that many pixels, instead of at the network's input size.
    """

    score_threshold: float = 0.02
    candidates: int = 800
    top_k: int = 400
    nms: NmsKind = "hard"
    iou_threshold: float = 0.3
    keep_aspect: bool = False
    scale: int | str | None = None

    def __post_init__(self) -> None:
        _ = self.postprocess
        if self.scale is not None and self.keep_aspect:
            raise InputError("`scale` keeps the aspect ratio already; leave out `keep_aspect`")
        if isinstance(self.scale, int) and not MIN_SIDE <= self.scale <= MAX_SIDE:
            raise InputError(f"`scale` {self.scale}: give {MIN_SIDE} to {MAX_SIDE}, or `original`")

    @property
    def postprocess(self) -> PostprocessOptions:
        """What the pipeline is run with."""
        return PostprocessOptions(
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            nms=self.nms,
            candidates=self.candidates,
            top_k=self.top_k,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        scaled = "stretch" if self.scale is None else f"scale {self.scale}"
        return {
            "score_threshold": self.score_threshold,
            "candidates": self.candidates,
            "top_k": self.top_k,
            "nms": self.nms,
            "nms_iou": self.iou_threshold,
            "resize": "keep-aspect" if self.keep_aspect else scaled,
        }


@dataclass(frozen=True)
class Fitted:
    """An image made to fit: `image` (H, W, 3) uint8 BGR, which spans `extent` (width, height).

    The extent is in pixels of the original and larger than it where there is padding.
    """

    image: Image
    extent: tuple[float, float]
    width: int
    height: int


def fit(bgr: Image, spec: ModelSpec, settings: EvalSettings) -> Fitted:
    """Apply the resize policy to an image (H, W, 3); plain stretching is left to `preprocess`."""
    height, width = bgr.shape[:2]
    if settings.keep_aspect:
        canvas, extent = letterbox(bgr, spec.width, spec.height, spec)
        return Fitted(canvas, extent, spec.width, spec.height)
    if settings.scale is None:
        return Fitted(bgr, (width, height), spec.width, spec.height)
    longest = max(width, height)
    target = longest if isinstance(settings.scale, str) else settings.scale
    ratio = min(target, MAX_SIDE) / longest
    across, down = _on_grid(width * ratio), _on_grid(height * ratio)
    canvas, extent = letterbox(bgr, across, down, spec, ratio)
    return Fitted(canvas, extent, across, down)


def tensor_of(fitted: Fitted, spec: ModelSpec) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the network input (1, 3, height, width) for a fitted image."""
    return preprocess(fitted.image, spec.resized(fitted.width, fitted.height))


def _on_grid(side: float) -> int:
    return max(MIN_SIDE, -(-round(side) // _GRID) * _GRID)
