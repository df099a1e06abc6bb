"""Geometry of boxes: SSD encoding (Liu et al. 2016, section 2.2) and intersection over union."""

from __future__ import annotations

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
    centers = offsets[:, :2] * center_variance * anchors[:, 2:] + anchors[:, :2]
    half_sizes = np.exp(offsets[:, 2:] * size_variance) * anchors[:, 2:] * 0.5
    return np.concatenate([centers - half_sizes, centers + half_sizes], axis=1)


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
    # One plane an axis: reducing over a last axis of two takes numpy ten times as long.
    one, other = (np.ascontiguousarray(boxes[:, :4].T) for boxes in (first, second))
    shared = np.minimum(one[2:, :, None], other[2:, None, :])
    shared -= np.maximum(one[:2, :, None], other[:2, None, :])
    if pixel:
        shared += shared.dtype.type(pixel)
    np.maximum(shared, 0, out=shared)
    overlap = np.multiply(shared[0], shared[1], out=shared[0])
    union = np.add(_area(one, pixel)[:, None], _area(other, pixel), out=shared[1])
    union -= overlap
    # Where the union is empty so is the overlap; this only keeps 0/0 from being NaN.
    np.maximum(union, _TINY[union.dtype.char], out=union)
    ious: Floats = np.divide(overlap, union, out=overlap)
    return ious


def _area(corners: Floats, pixel: float) -> Floats:
    """Area (N,) of boxes as (4, N)."""
    sides = corners[2:] - corners[:2]
    if pixel:
        sides += sides.dtype.type(pixel)
    np.maximum(sides, 0, out=sides)
    area: Floats = sides[0] * sides[1]
    return area
