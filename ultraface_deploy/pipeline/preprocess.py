"""From pixels to the network's input tensor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.resample import resize
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.images import Image as Image
from ultraface_deploy.safe.opencv import cv2

Tensor = npt.NDArray[np.float32]


class _Between(threading.local):
    """A thread's arrays between picture and tensor: fresh memory costs as much as the work in it.

    `small` (H, W[, C]) uint8 is the picture at the network's size, `planes` its channels (H, W).
    """

    small: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
    planes: Sequence[npt.NDArray[np.uint8]] = ()

    def fit(self, shape: tuple[int, ...]) -> None:
        """Make the arrays anew where the thread's last picture had another shape."""
        if self.small.shape != shape:
            self.small = np.empty(shape, np.uint8)
            self.planes = list(np.empty((*shape[2:], *shape[:2]), np.uint8).reshape(-1, *shape[:2]))


_BETWEEN = _Between()


def preprocess(bgr: Image, spec: ModelSpec, out: Tensor | None = None) -> Tensor:
    """Resize, bring into the network's colour order and normalise an image.

    Args:
        bgr: (H, W, 3) uint8 in OpenCV's colour order; see `safe.images.as_bgr` for other layouts.
        spec: the network that will read the tensor.
        out: an array to write the tensor into, of its shape and dtype; None for a new one.

    Returns:
        (1, channels, height, width) float32 `(pixel - mean) / std`. The aspect ratio is not kept:
        the networks were trained that way. Bit-for-bit what cvtColor, bilinear resize, subtract
        and divide give, at a fraction of the cost: the network's own few pixels are looked up in
        a table of the 256 values that a sample can have.
    """
    pixels: npt.NDArray[Any] = bgr
    tensor = np.empty(spec.input_shape, np.float32) if out is None else out
    if spec.color == "gray":
        pixels = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    elif not opencv.available():
        _without_opencv(bgr, spec, tensor)
        return tensor
    _BETWEEN.fit((spec.height, spec.width, *pixels.shape[2:]))
    small = cv2.resize(pixels, (spec.width, spec.height), _BETWEEN.small)
    planes = cv2.split(small, _BETWEEN.planes)
    if spec.color == "rgb":
        planes = planes[::-1]
    for plane, mean, normalised in zip(planes, spec.mean, tensor[0], strict=False):
        cv2.LUT(plane, _table(mean, spec.std[0]), normalised)
    return tensor


@lru_cache(maxsize=16)
def _table(mean: float, std: float) -> npt.NDArray[np.float32]:
    """Normalise each value of a sample, (256,) float32."""
    # One scale for all channels; so have all networks of this family.
    values = np.arange(256, dtype=np.float32)
    values -= np.float32(mean)
    values *= np.float32(1.0 / std)
    values.setflags(write=False)
    return values


def _without_opencv(bgr: Image, spec: ModelSpec, out: Tensor) -> None:
    """Do the same in NumPy: the same bits, but tens of times slower."""
    pixels = resize(bgr, (spec.width, spec.height))
    if spec.color == "rgb":
        pixels = pixels[..., ::-1]
    out[0] = pixels.transpose(2, 0, 1)
    out -= np.array(spec.mean, np.float32)[:, None, None]
    out *= np.float32(1.0 / spec.std[0])
