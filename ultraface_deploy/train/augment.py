"""Augmentation: a window of the image, warped to the network input in one step, and its colours.

Expanding, cropping, mirroring and resizing are all affine, so each sample is interpolated once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ultraface_deploy.pipeline import iou
from ultraface_deploy.safe.records import Amount, Strict
from ultraface_deploy.train.data.cache import Image

Boxes = npt.NDArray[np.float32]
Rng = np.random.Generator
_FILL = (127, 127, 127)


@dataclass(frozen=True)
class Augmentation(Strict):
    """How samples are varied: the shares of the window kinds, and the rest of the chances.

    `whole`, `crop`, `aimed` and `expand` are relative shares: the image nearly whole; the
    IoU-constrained crop of SSD; a crop that brings one face to a size between `face_sizes`
    pixels of the input; the image zoomed out by up to `max_expand`. Faces smaller than
    `min_face` pixels of the input are ignored: neither to be found nor background.
    """

    whole: Amount = 0.25
    crop: Amount = 0.3
    aimed: Amount = 0.35
    expand: Amount = 0.1
    max_expand: Amount = 2.0
    face_sizes: tuple[Amount, Amount] = (9.0, 150.0)
    min_face: Amount = 7.0
    mirror: Amount = 0.5
    photometric: Amount = 0.8

    def __post_init__(self) -> None:
        if not (self.whole + self.crop + self.aimed + self.expand and all(self.face_sizes)):
            raise ValueError("augment needs a share above 0, and face_sizes")


@dataclass(frozen=True)
class Window:
    """A rectangle of the image in pixels; it may reach beyond the image. Mirrored on request."""

    x: float
    y: float
    width: float
    height: float
    mirrored: bool = False

    def warp(self, image: Image, width: int, height: int) -> Image:
        """Return what lies in the window as (height, width, 3); gray where there is no image."""
        scale_x, scale_y = width / self.width, height / self.height
        # Pixel centres: column i of the output is at (i + 0.5) / width of the window.
        shift_x = (0.5 - self.x) * scale_x - 0.5
        shift_y = (0.5 - self.y) * scale_y - 0.5
        if self.mirrored:
            scale_x, shift_x = -scale_x, width - 1 - shift_x
        matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
        return cv2.warpAffine(  # type: ignore[return-value]
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=_FILL
        )

    def place(self, boxes: Boxes) -> Boxes:
        """Return boxes (N, 4) of the image as corners in 0..1 of the window, not clipped."""
        placed: Boxes = boxes - np.array([self.x, self.y] * 2, np.float32)
        placed /= np.array([self.width, self.height] * 2, np.float32)
        if self.mirrored:
            placed[:, [0, 2]] = 1 - placed[:, [2, 0]]
        return placed


def choose_window(
    size: tuple[int, int], boxes: Boxes, input_size: tuple[int, int], plan: Augmentation, rng: Rng
) -> Window:
    """Draw a window for an image of `size` (width, height) with faces `boxes` (N, 4)."""
    shares = np.array([plan.whole, plan.crop, plan.aimed, plan.expand])
    kind = rng.choice(4, p=shares / shares.sum())
    if kind == 1:
        x, y, width, height = _constrained_crop(size, boxes, rng)
    elif kind == 2 and len(boxes):
        x, y, width, height = _aimed_crop(size, boxes, input_size, plan.face_sizes, rng)
    elif kind == 3:
        x, y, width, height = _scaled(size, rng.uniform(1, plan.max_expand), rng)
    else:
        x, y, width, height = _scaled(size, rng.uniform(0.85, 1.05), rng)
    return Window(x, y, width, height, bool(rng.random() < plan.mirror))


def visible_faces(
    placed: Boxes, ignored: npt.NDArray[np.bool_], input_size: tuple[int, int], min_face: float
) -> tuple[Boxes, npt.NDArray[np.bool_]]:
    """Clip faces to the window and decide which count.

    A face counts when its centre lies in the window, as in the published training; one that is
    only partly visible or smaller than `min_face` pixels is ignored; one outside is dropped.

    Args:
        placed: (N, 4) corners in 0..1 of the window, not clipped.
        ignored: (N,).
        input_size: (width, height) of the network input in pixels.
        min_face: smallest side in pixels of the input, as the mean of width and height.
    """
    clipped = placed.clip(0, 1)
    sizes = clipped[:, 2:] - clipped[:, :2]
    seen = seen_faces(placed)
    centers = (placed[:, :2] + placed[:, 2:]) / 2
    outside = ((centers < 0) | (centers > 1)).any(axis=1)
    small = (sizes * np.array(input_size, np.float32)).mean(axis=1) < min_face
    return clipped[seen], (ignored | outside | small)[seen]


def seen_faces(placed: Boxes) -> npt.NDArray[np.bool_]:
    """Return which faces (N, 4) have any part in the window: those that `visible_faces` keeps."""
    clipped = placed.clip(0, 1)
    return np.asarray((clipped[:, 2:] > clipped[:, :2]).all(axis=1), bool)


@dataclass(frozen=True)
class Colours:
    """One draw of the photometric distortion; the same for every view of a sample."""

    gain: float = 1.0
    offset: float = 0.0
    gamma: float = 1.0
    saturation: float = 1.0
    hue: int = 0

    @classmethod
    def draw(cls, chance: float, rng: Rng) -> Colours:
        """Draw brightness, contrast, gamma, saturation and hue, each with that chance."""
        hits = rng.random(5) < chance
        values: list[Any] = [
            rng.uniform(0.6, 1.4),
            rng.uniform(-32, 32),
            rng.uniform(0.7, 1.4),
            rng.uniform(0.4, 1.5),
            int(rng.integers(-12, 13)),
        ]
        names = ("gain", "offset", "gamma", "saturation", "hue")
        return cls(**{n: value for n, value, hit in zip(names, values, hits, strict=True) if hit})

    def apply(self, bgr: Image) -> Image:
        """Return the image with these colours."""
        if self.hue:
            hsv = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV)
            hues = ((np.arange(256) + self.hue) % 180).astype(np.uint8)
            hsv[..., 0] = cv2.LUT(np.ascontiguousarray(hsv[..., 0]), hues)
            bgr = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)  # type: ignore[assignment]
        if self.saturation != 1:
            gray = cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
            bgr = cv2.addWeighted(bgr, self.saturation, gray, 1 - self.saturation, 0)  # type: ignore[assignment]
        levels = 255 * (np.arange(256) / 255) ** self.gamma
        levels = (levels - 127) * self.gain + 127 + self.offset
        return cv2.LUT(bgr, levels.round().clip(0, 255).astype(np.uint8))  # type: ignore[return-value]


_Rectangle = tuple[float, float, float, float]


def _scaled(size: tuple[int, int], factor: float, rng: Rng) -> _Rectangle:
    """Return the image's rectangle scaled by `factor` at a random place that overlaps it fully."""
    width, height = size[0] * factor, size[1] * factor * rng.uniform(0.95, 1.05)
    return (
        _between(0.0, size[0] - width, rng),
        _between(0.0, size[1] - height, rng),
        width,
        height,
    )


def _between(one: float, other: float, rng: Rng) -> float:
    return rng.uniform(min(one, other), max(one, other))


def _constrained_crop(size: tuple[int, int], boxes: Boxes, rng: Rng) -> _Rectangle:
    """Draw SSD's random crop: one face at least has a minimum IoU with it (section 2.2)."""
    minimum = rng.choice([0.0, 0.0, 0.1, 0.3, 0.5])
    for _ in range(30):
        factor = rng.uniform(0.3, 1.0)
        width, height = np.array(size) * factor * np.exp(rng.uniform(-0.2, 0.2, 2))
        width, height = min(width, size[0]), min(height, size[1])
        x, y = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
        if minimum == 0 or not len(boxes):
            return x, y, width, height
        inside = iou(np.array([x, y, x + width, y + height], np.float32), boxes)
        if inside.max() >= minimum:
            return x, y, width, height
    return _scaled(size, 1.0, rng)


def _aimed_crop(
    size: tuple[int, int],
    boxes: Boxes,
    input_size: tuple[int, int],
    face_sizes: tuple[float, float],
    rng: Rng,
) -> _Rectangle:
    """Draw a window in which one face has a size drawn evenly on the logarithmic scale."""
    face = boxes[rng.integers(len(boxes))]
    side = float(np.sqrt(max(1.0, (face[2] - face[0]) * (face[3] - face[1]))))
    wanted = np.exp(rng.uniform(*np.log(face_sizes)))
    # Never magnify much beyond the pixels there are, nor shrink the image to a stamp.
    factor = np.clip(input_size[0] / wanted * side / size[0], 0.2, 1.6)
    width, height = np.array(size) * factor * np.exp(rng.uniform(-0.12, 0.12, 2))
    across, down = rng.uniform(0.15, 0.85, 2)
    x, y = (face[0] + face[2]) / 2 - across * width, (face[1] + face[3]) / 2 - down * height
    # Slide back over the image where the window would show more emptiness than needed.
    x = np.clip(x, *sorted((0.0, size[0] - width)))
    y = np.clip(y, *sorted((0.0, size[1] - height)))
    return float(x), float(y), float(width), float(height)
