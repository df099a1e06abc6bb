"""Geometry of boxes: SSD encoding (Liu et al. 2016, section 2.2) and intersection over union."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_TINY = {kind: np.finfo(kind).tiny for kind in "efdg"}


def decode(
    offsets: Floats, anchors: Floats, center_variance: float, size_variance: float
) -> Floats:
    """Turn raw head offsets into boxes.

    Args:
        offsets: (N, 4) as the network emits them.
        anchors: (N, 4) centre x, centre y, width, height.
        center_variance: scale of the centre offsets.
        size_variance: scale of the logarithmic size offsets.

    Returns:
        (N, 4) corners x1 y1 x2 y2 in the anchors' unit.
    """
    moves, anchors = _planes(offsets), _planes(anchors)
    centers, sizes = moves[:2] * center_variance, moves[2:] * size_variance
    centers *= anchors[2:]
    centers += anchors[:2]
    half_sizes = np.exp(sizes, out=sizes)
    half_sizes *= anchors[2:]
    half_sizes *= 0.5
    corners = np.empty_like(centers, shape=moves.shape)
    np.subtract(centers, half_sizes, out=corners[:2])
    np.add(centers, half_sizes, out=corners[2:])
    # Laid out as planes still, which whoever computes with boxes would make of them again.
    rows: Floats = corners.T
    return rows


def decode_points(offsets: Floats, anchors: Floats, center_variance: float) -> Floats:
    """Turn raw landmark offsets into points, as centres are: each is that far from the anchor's.

    Args:
        offsets: (N, 2 * P) as the network emits them: x y x y ...
        anchors: (N, 4) centre x, centre y, width, height.
        center_variance: scale of the offsets.

    Returns:
        (N, 2 * P) points in the anchors' unit.
    """
    points = offsets.reshape(len(offsets), -1, 2) * center_variance * anchors[:, None, 2:]
    moved: Floats = (points + anchors[:, None, :2]).reshape(offsets.shape)
    return moved


def encode(boxes: Floats, anchors: Floats, center_variance: float, size_variance: float) -> Floats:
    """Invert `decode`: (N, 4) corners to (N, 4) offsets on (N, 4) anchors."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate(
        [
            (centers - anchors[:, :2]) / anchors[:, 2:] / center_variance,
            np.log(sizes / anchors[:, 2:]) / size_variance,
        ],
        axis=1,
    )


def iou(box: Floats, boxes: Floats, pixel: float = 0.0) -> Floats:
    """Return the IoU of one box (4,) with boxes (N, 4), corners in any one unit, as (N,).

    `pixel=1` counts a box from x1 to x2 as `x2 - x1 + 1` wide, as the published C++ demos and
    the WIDER FACE protocol do. Empty boxes have IoU 0 with everything.
    """
    row: Floats = iou_matrix(box[None], boxes, pixel)[0]
    return row


def iou_matrix(first: Floats, second: Floats, pixel: float = 0.0) -> Floats:
    """Return the IoU of every box of (M, 4) with every box of (N, 4) as (M, N); see `iou`."""
    one, other = _planes(first), _planes(second)
    shared = np.minimum(one[2:, :, None], other[2:, None, :])
    shared -= np.maximum(one[:2, :, None], other[:2, None, :])
    if pixel:
        shared += shared.dtype.type(pixel)
    return _iou(shared, np.add(_area(one, pixel)[:, None], _area(other, pixel)))


def overlapping(boxes: Floats, iou_threshold: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs of (N, 4) boxes whose IoU is above a threshold of 0 or more.

    As indices, the smaller first, in ascending order. The IoU, bit for bit that of `iou_matrix`,
    is computed only of boxes that touch: few of those in a picture do.
    """
    planes, count = _planes(boxes), len(boxes)
    begins_before_end = planes[:2, :, None] < planes[2:, None, :]
    crossing = begins_before_end[0] & begins_before_end[1]
    touching = crossing & crossing.T
    touching &= _later(1 << count.bit_length())[:count, :count]
    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    first, second = np.divmod(touching.ravel().nonzero()[0], max(count, 1))
    one, other = planes.take(first, axis=1), planes.take(second, axis=1)
    shared = np.minimum(one[2:], other[2:])
    shared -= np.maximum(one[:2], other[:2])
    area = _area(planes)
    above = _iou(shared, area.take(first) + area.take(second)) > iou_threshold
    return zip(first[above].tolist(), second[above].tolist(), strict=True)


@lru_cache(maxsize=4)
def _later(size: int) -> npt.NDArray[np.bool_]:
    """Say of each pair of indices whether the second is the larger, (size, size)."""
    return np.triu(np.ones((size, size), dtype=bool), 1)


def _planes(boxes: Floats) -> Floats:
    """Lay (N, 4 or more) boxes out as (4, N): numpy takes ten times as long over rows of two."""
    return np.ascontiguousarray(boxes[:, :4].T)


def _iou(shared: Floats, areas: Floats) -> Floats:
    """Return the IoU of pairs.

    Args:
        shared: (2, ...) how far they overlap on each axis, below 0 where they do not; overwritten.
        areas: (...) the sum of both areas; overwritten.
    """
    np.maximum(shared, 0, out=shared)
    overlap = np.multiply(shared[0], shared[1], out=shared[0])
    areas -= overlap
    # Where the union is empty so is the overlap; this only keeps 0/0 from being NaN.
    np.maximum(areas, _TINY[areas.dtype.char], out=areas)
    ious: Floats = np.divide(overlap, areas, out=overlap)
    return ious


def _area(corners: Floats, pixel: float = 0.0) -> Floats:
    """Area (N,) of boxes as (4, N)."""
    sides = corners[2:] - corners[:2]
    if pixel:
        sides += sides.dtype.type(pixel)
    np.maximum(sides, 0, out=sides)
    area: Floats = sides[0] * sides[1]
    return area
