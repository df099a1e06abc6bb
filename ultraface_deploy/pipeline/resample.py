"""OpenCV's bilinear resize in NumPy, bit for bit, for boards without OpenCV.

The arithmetic is that of its INTER_LINEAR on 8-bit samples: weights of 11 bits, the columns mixed
first and cut to 15 bits, then the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ultraface_deploy.safe.images import Image

_UNIT = 1 << 11


@dataclass(frozen=True)
class _Taps:
    """For each sample of the output: two samples of the source, and their weights."""

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    weights: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Resize (H, W, 3) uint8 to (width, height), the borders repeated."""
    height, width, channels = image.shape
    columns = _taps(width, size[0], channels, border_once=True)
    rows = _taps(height, size[1], 1, border_once=False)
    # Where the picture shrinks, most of its lines are read by no line of the output.
    lines = np.unique(np.concatenate([rows.first, rows.second]))
    source = np.take(image.reshape(height, -1), lines, axis=0)
    mixed = np.take(source, columns.first, axis=1) * columns.weights[0]
    mixed += np.take(source, columns.second, axis=1) * columns.weights[1]
    mixed >>= 4
    upper, lower = (
        np.take(mixed, np.searchsorted(lines, taken), axis=0) * weights[:, None] >> 16
        for taken, weights in ((rows.first, rows.weights[0]), (rows.second, rows.weights[1]))
    )
    upper += lower
    upper += 2
    upper >>= 2
    return upper.astype(np.uint8).reshape(size[1], size[0], channels)


@lru_cache(maxsize=16)
def _taps(source: int, target: int, channels: int, border_once: bool) -> _Taps:
    """Place the taps of one axis, for each channel of a pixel.

    Beyond the border OpenCV takes the last column alone, the last row twice.
    """
    scale = 1.0 / (target / source)
    positions = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(positions).astype(np.intp)
    fractions = positions - first.astype(np.float32)
    if border_once:
        fractions[(first < 0) | (first >= source - 1)] = 0
    weights = [np.rint(each * np.float32(_UNIT)) for each in (np.float32(1) - fractions, fractions)]
    places = [
        (each.clip(0, source - 1)[:, None] * channels + np.arange(channels)).ravel()
        for each in (first, first + 1)
    ]
    by_channel = [np.repeat(each, channels).astype(np.uint32) for each in weights]
    return _Taps(places[0], places[1], (by_channel[0], by_channel[1]))
