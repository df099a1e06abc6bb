"""From pixels to the network's input tensor."""

from __future__ import annotations

import math
import threading

import numpy as np
import numpy.typing as npt

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.resample import resize
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.images import Image as Image
from ultraface_deploy.safe.opencv import cv2

Tensor = npt.NDArray[np.float32]


class _Scratch(threading.local):
    """Memory for the steps in between: to ask the system for it costs more than to fill it."""

    def __init__(self) -> None:
        self._size: tuple[int, ...] = ()

    def of(self, height: int, width: int) -> tuple[Image, list[Image]]:
        """Return a picture (H, W, 3) and three planes (H, W), uint8, until the next call."""
        if self._size != (height, width):
            self._size = height, width
            self._small: Image = np.empty((height, width, 3), np.uint8)
            self._planes: list[Image] = [np.empty((height, width), np.uint8) for _ in range(3)]
        return self._small, self._planes


_SCRATCH = _Scratch()


def preprocess(bgr: Image, spec: ModelSpec) -> Tensor:
    """Resize, bring into the network's colour order and normalise an image.

    Args:
        bgr: (H, W, 3) uint8 in OpenCV's colour order; see `safe.images.as_bgr` for other layouts.
        spec: the network that will read the tensor.

    Returns:
        (1, channels, height, width) float32 `(pixel - mean) / std`. The aspect ratio is not kept:
        the networks were trained that way. Bit-for-bit what cvtColor, bilinear resize, subtract
        and divide give, at about a ninth of the cost.
    """
    size, scale = (spec.width, spec.height), 1.0 / spec.std[0]
    if spec.color == "gray":
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        return cv2.dnn.blobFromImage(image, scale, size, spec.mean)  # type: ignore[return-value]
    if not opencv.available():
        return _without_opencv(bgr, spec)
    if not _exact(spec):
        # One scale for all channels; so have all networks of this family.
        swap = spec.color == "rgb"
        return cv2.dnn.blobFromImage(bgr, scale, size, spec.mean, swap)  # type: ignore[return-value]
    small, planes = _SCRATCH.of(spec.height, spec.width)
    cv2.resize(bgr, size, dst=small)
    cv2.split(small, planes)
    tensor = np.empty(spec.input_shape, np.float32)
    for plane, mean, into in zip(
        planes[::-1] if spec.color == "rgb" else planes, spec.mean, tensor[0], strict=True
    ):
        cv2.addWeighted(plane, scale, plane, 0, -mean * scale, dst=into, dtype=cv2.CV_32F)
    return tensor


def _exact(spec: ModelSpec) -> bool:
    """Whether no step is rounded, so that `x * scale - mean * scale` has the same bits.

    It is where std is a power of two and the means are whole numbers.
    """
    return math.frexp(spec.std[0])[0] == 0.5 and all(float(mean).is_integer() for mean in spec.mean)


def _without_opencv(bgr: Image, spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Do the same in NumPy: the same bits, but tens of times slower."""
    pixels = resize(bgr, (spec.width, spec.height))
    if spec.color == "rgb":
        pixels = pixels[..., ::-1]
    tensor = pixels.transpose(2, 0, 1).astype(np.float32)
    tensor -= np.array(spec.mean, np.float32)[:, None, None]
    tensor *= np.float32(1.0 / spec.std[0])
    return np.ascontiguousarray(tensor)[None]
