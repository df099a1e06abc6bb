"""Geometry of boxes: SSD encoding (Liu et al. 2016, section 2.2) and intersection over union."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


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
    overlap = _overlap(first, second, 0, pixel)
    overlap *= _overlap(first, second, 1, pixel)
    union = np.add.outer(_area(first, pixel), _area(second, pixel))
    union -= overlap
    # Where the union is empty so is the overlap; this only keeps 0/0 from being NaN.
    ious: Floats = overlap / np.maximum(union, np.finfo(union.dtype).tiny)
    return ious


def _overlap(first: Floats, second: Floats, axis: int, pixel: float) -> Floats:
    """Length (M, N) of what two sets of boxes share along one axis."""
    low = np.maximum.outer(first[:, axis].copy(), second[:, axis].copy())
    high = np.minimum.outer(first[:, axis + 2].copy(), second[:, axis + 2].copy())
    high -= low
    high += pixel
    shared: Floats = np.maximum(high, 0, out=high)
    return shared


def _area(boxes: Floats, pixel: float) -> Floats:
    area: Floats = np.clip(boxes[:, 2:] - boxes[:, :2] + pixel, 0, None).prod(axis=1)
    return area
