"""Videos whose pixels are shown wider than high, or higher than wide: DVDs, DV and broadcasts.

Their pictures are looked at as they are stored, so that boxes are in pixels of the stored picture;
what is painted is written with square pixels, since OpenCV can tell no file of others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2

# Nearer to square is what encoders round sides to; further from it nobody films.
_SEEN, _STRETCHED = 0.01, 4.0


def pixel_aspect(capture: Any) -> float:
    """Return how many times as wide as high the pixels of a video are shown."""
    wide, high = (capture.get(key) for key in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    if not (wide > 0 and high > 0):
        return 1.0
    aspect = float(wide / high)
    # OpenCV turns the pictures upright and leaves this as it is stored.
    if capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90:
        aspect = 1 / aspect
    seen = abs(aspect - 1) > _SEEN and 1 / _STRETCHED <= aspect <= _STRETCHED
    return aspect if seen else 1.0


def squared(image: Image, pixel: float) -> Image:
    """Return a picture of pixels so many times as wide as high with square ones; none is lost."""
    if pixel == 1:
        return image
    high, wide = image.shape[:2]
    # Even sides, as videos have.
    if pixel > 1:
        wide = 2 * round(wide * pixel / 2)
    else:
        high = 2 * round(high / pixel / 2)
    return np.asarray(cv2.resize(image, (max(2, wide), max(2, high))), np.uint8)
