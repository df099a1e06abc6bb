"""What of a picture is looked at, and which of its faces are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.boxes import Floats
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.faces import Faces
from ultraface_deploy.pipeline.nms import nms
from ultraface_deploy.pipeline.postprocess import PostprocessOptions
from ultraface_deploy.pipeline.preprocess import Tensor, preprocess
from ultraface_deploy.pipeline.resample import resize
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2

Rectangle = tuple[int, int, int, int]
"""x, y, width, height in pixels."""
Tiles = tuple[int, int] | Literal["auto"]
"""Rows and columns."""

MAX_TILES = 256
# So many times the network's input may a side of a tile be before `auto` makes more tiles.
_AUTO_ZOOM = 2.0
# A box of which more than this lies inside a better one is a part of the same face.
_PART = 0.6
# How near to the inner border of a tile, as a share of the tile, a box counts as cut off by it.
_BORDER = 0.01


@dataclass(frozen=True)
class View:
    """How a picture meets the network, and what is kept.

    `keep_aspect` fits the picture into the network's input and pads the rest, as the network was
    not trained; a very wide or tall picture needs it. `tiles` looks at parts of the picture that
    overlap by `overlap` of their sides, besides the whole, for faces that are small in a large
    one. `roi` looks at that part of the picture alone. `min_size` and `max_size` are in pixels:
    no side of a face may be shorter or longer. `clip` cuts boxes off at the picture's borders.
    """

    keep_aspect: bool = False
    tiles: Tiles | None = None
    overlap: float = 0.25
    roi: Rectangle | None = None
    min_size: float = 0.0
    max_size: float | None = None
    clip: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 0.9:
            raise InputError(f"an overlap of {self.overlap:g} of a tile: give 0 to 0.9")
        longest = np.inf if self.max_size is None else self.max_size
        if not 0 <= self.min_size <= longest:
            raise InputError(
                f"`min_size` {self.min_size:g}, `max_size` {longest:g}: no face has such a size; "
                "give the smaller first"
            )
        if self.roi is not None and not (
            _whole(self.roi, 4) and min(self.roi[:2]) >= 0 and min(self.roi[2:]) >= 1
        ):
            raise InputError(f"`roi` {_text(self.roi)}: give x,y,width,height")
        if self.tiles is None or self.tiles == "auto":
            return
        if not (
            _whole(self.tiles, 2)
            and min(self.tiles) >= 1
            and self.tiles[0] * self.tiles[1] <= MAX_TILES
        ):
            raise InputError(
                f"`tiles` {_text(self.tiles)}: give auto, or rows and columns of 1 to {MAX_TILES}"
            )

    @property
    def parts_only(self) -> bool:
        """Whether parts of a picture are looked at, which need all its pixels."""
        return self.roi is not None or self.tiles is not None

    def region(self, width: int, height: int) -> Rectangle:
        """Return the part of a picture of that size that is looked at.

        Raises:
            InputError: `roi` does not lie within the picture.
        """
        if self.roi is None:
            return (0, 0, width, height)
        x, y, wide, high = self.roi
        if x + wide > width or y + high > height:
            raise InputError(
                f"`roi` {_text(self.roi)}: reaches out of the picture of {width}x{height}; "
                "choose one within"
            )
        return self.roi

    def parts(self, width: int, height: int, spec: ModelSpec) -> list[Rectangle]:
        """Return the rectangles of a picture that the network is run on, the whole first."""
        region = self.region(width, height)
        if self.tiles is None:
            return [region]
        x, y, wide, high = region
        rows, columns = automatic_tiles(wide, high, spec) if self.tiles == "auto" else self.tiles
        if rows * columns == 1:
            return [region]
        lefts, tops = _cuts(wide, columns, self.overlap), _cuts(high, rows, self.overlap)
        tiles = [
            (x + left, y + top, right - left, bottom - top)
            for top, bottom in tops
            for left, right in lefts
        ]
        return [region, *tiles]

    def keep(self, faces: Faces, width: int, height: int) -> Faces:
        """Apply the limits on size, and cut off at the borders of a picture of that size."""
        boxes = faces.boxes
        if self.clip:
            limits = np.array([width, height, width, height], np.float32)
            boxes = np.clip(boxes, 0, limits)
            faces = replace(faces, boxes=boxes)
        if not self.min_size and self.max_size is None:
            return faces
        sides = boxes[:, 2:] - boxes[:, :2]
        longest = np.inf if self.max_size is None else self.max_size
        fits: npt.NDArray[np.bool_] = (sides.min(axis=1) >= self.min_size) & (
            sides.max(axis=1) <= longest
        )
        return faces[fits]


def _whole(values: Any, count: int) -> bool:
    """Whether it is so many whole numbers."""
    return np.shape(values) == (count,) and np.asarray(values).dtype.kind in "iu"


def _text(values: object) -> str:
    return str(values).strip("([])").replace(" ", "")


def parse_tiles(text: str) -> Tiles:
    """Read `auto`, or rows and columns such as `2x3`.

    Raises:
        InputError: it is neither, or too many.
    """
    if text == "auto":
        return "auto"
    rows, cross, columns = text.lower().partition("x")
    if not (cross and rows.isdecimal() and columns.isdecimal() and len(text) < 10):
        raise InputError(f"`tiles` {text}: give auto, or rows and columns such as 2x3")
    if not 1 <= int(rows) * int(columns) <= MAX_TILES:
        raise InputError(f"`tiles` {text}: give 1 to {MAX_TILES} tiles")
    return int(rows), int(columns)


def parse_roi(text: str) -> Rectangle:
    """Read `x,y,width,height`.

    Raises:
        InputError: it is not four whole numbers of a rectangle.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) != 4 or not all(word.isdecimal() and len(word) < 7 for word in words):
        raise InputError(f"`roi` {text}: give x,y,width,height in pixels, such as 0,0,640,480")
    x, y, width, height = map(int, words)
    return View(roi=(x, y, width, height)).region(10**7, 10**7)


def automatic_tiles(width: int, height: int, spec: ModelSpec) -> tuple[int, int]:
    """Return rows and columns such that no tile is shrunk to less than half, within the limit."""
    rows = int(np.ceil(height / (_AUTO_ZOOM * spec.height)))
    columns = int(np.ceil(width / (_AUTO_ZOOM * spec.width)))
    shrink = max(1.0, np.sqrt(rows * columns / MAX_TILES))
    return max(1, int(rows / shrink)), max(1, int(columns / shrink))


def network_input(
    bgr: Image,
    spec: ModelSpec,
    keep_aspect: bool,
    out: Tensor | None = None,
    pixel: float = 1.0,
) -> tuple[Tensor, tuple[float, float]]:
    """Return what the network reads of an image (H, W, 3) uint8 BGR, stretched or padded.

    `out` is an array for the tensor, None for a new one; `pixel` see `letterbox`.

    Returns:
        The tensor (1, channels, height, width) float32, and the extent (width, height) that it
        spans in pixels of the image.
    """
    extent = (float(bgr.shape[1]), float(bgr.shape[0]))
    if keep_aspect:
        bgr, extent = letterbox(bgr, spec.width, spec.height, spec, pixel=pixel)
    return preprocess(bgr, spec, out), extent


def letterbox(
    bgr: Image,
    width: int,
    height: int,
    spec: ModelSpec,
    ratio: float | None = None,
    pixel: float = 1.0,
) -> tuple[Image, tuple[float, float]]:
    """Fit a picture into (height, width), the rest in the colour that becomes zero.

    Args:
        bgr: (H, W, 3) uint8.
        width: of the canvas.
        height: of the canvas.
        spec: the network, for its colours.
        ratio: scale of the picture; None for the largest that fits.
        pixel: how many times as wide as high a pixel of the picture is shown.

    Returns:
        The canvas with the picture in its top left corner, and its extent (width, height) in
        pixels of the picture, larger than the picture where there is padding.
    """
    shown = bgr.shape[1] * pixel
    ratio = ratio or min(width / shown, height / bgr.shape[0])
    inner_width = min(width, max(1, round(shown * ratio)))
    inner_height = min(height, max(1, round(bgr.shape[0] * ratio)))
    canvas: Image = np.empty((height, width, 3), dtype=np.uint8)
    if spec.color == "gray":
        # First gray, then smaller: so does `preprocess`.
        bgr = np.repeat(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
        canvas[:] = np.round(spec.mean[0])
    else:
        canvas[:] = np.round(spec.mean if spec.color == "bgr" else spec.mean[::-1])
    canvas[:inner_height, :inner_width] = _resized(bgr, (inner_width, inner_height))
    extent = (width * bgr.shape[1] / inner_width, height * bgr.shape[0] / inner_height)
    return canvas, extent


def _resized(bgr: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(bgr, size), np.uint8) if opencv.available() else resize(bgr, size)


def merge(
    found: Sequence[Faces],
    parts: Sequence[Rectangle],
    options: PostprocessOptions,
    threshold: float,
) -> Faces:
    """Put together what was found in the parts of one picture.

    A face that the border between two tiles cuts is found in both, in one of them as a part; a
    part that lies within a whole face goes, whatever its score. Then NMS, a class at a time.

    Args:
        found: the faces of each part, in pixels of the part.
        parts: the parts, the whole region first.
        options: NMS kind and limits.
        threshold: the score below which soft NMS drops a face.
    """
    region = parts[0]
    moved = [faces.moved(part[0], part[1]) for faces, part in zip(found, parts, strict=True)]
    cut = np.concatenate(
        [_cut_off(faces.boxes, part, region) for faces, part in zip(moved, parts, strict=True)]
    )
    faces = Faces.joined(moved)
    whole = np.flatnonzero(~cut)
    inside = _share_inside(faces.boxes, faces.boxes[whole])
    inside[faces.labels[:, None] != faces.labels[whole][None, :]] = 0
    part_of_a_face = cut & (inside > _PART).any(axis=1)
    faces = faces[~part_of_a_face]
    kept = [
        _suppressed(faces[faces.labels == label], options, threshold)
        for label in np.unique(faces.labels)
    ]
    merged = Faces.joined(kept) if kept else faces
    order = np.argsort(-merged.scores, kind="stable")
    return merged[order[: options.top_k]]


def _suppressed(faces: Faces, options: PostprocessOptions, threshold: float) -> Faces:
    rows, scores = nms(
        faces.rows(),
        faces.scores,
        kind=options.nms,
        iou_threshold=options.iou_threshold,
        score_threshold=threshold,
    )
    return Faces.from_rows(rows, scores, faces.labels[: len(scores)], faces.class_names)


def _cuts(length: int, parts: int, overlap: float) -> list[tuple[int, int]]:
    """Cut a length into equal parts that overlap by a share of their own length."""
    side = length / (parts - (parts - 1) * overlap)
    exact = [round(index * side * (1 - overlap), 6) for index in range(parts)]
    # Outwards, so that no pixel is left out.
    starts = [min(length - 1, int(start)) for start in exact]
    ends = [min(length, int(np.ceil(round(start + side, 6)))) for start in exact]
    return list(zip(starts, ends, strict=True))


def _cut_off(boxes: Floats, part: Rectangle, region: Rectangle) -> Floats:
    """Which boxes (N, 4) reach a border of their part that is none of the region's."""
    x, y, width, height = part
    near_x, near_y = _BORDER * width, _BORDER * height
    borders = (
        (x > region[0], boxes[:, 0] < x + near_x),
        (y > region[1], boxes[:, 1] < y + near_y),
        (x + width < region[0] + region[2], boxes[:, 2] > x + width - near_x),
        (y + height < region[1] + region[3], boxes[:, 3] > y + height - near_y),
    )
    cut = np.zeros(len(boxes), dtype=bool)
    for inner, reached in borders:
        if inner:
            cut |= reached
    return cut


def _share_inside(boxes: Floats, others: Floats) -> Floats:
    """How much of each box (N, 4) lies inside each of the others (M, 4), as (N, M) in 0..1."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    share: Floats = shared / np.maximum(area, np.finfo(np.float32).tiny)[:, None]
    return share
