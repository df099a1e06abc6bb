"""Calls a built `libultraface.so` through its Python binding, to compare it with the pipeline."""

# Tested by tests/sdk/test_detector.py.

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, LibraryError
from ultraface_deploy.pipeline import Faces, NmsKind, PostprocessOptions
from ultraface_deploy.pipeline.view import Rectangle
from ultraface_deploy.sdk.bindings.python import ultraface
from ultraface_deploy.sdk.conformance import YUV

_NMS: dict[NmsKind, int] = {"hard": 0, "soft": 1, "blend": 2}
FORMATS = {format.name.lower(): format.value for format in ultraface.Format}


def c_options(options: PostprocessOptions) -> dict[str, float]:
    """Return the pipeline's options under the names of `ultraface_options`."""
    asked = {
        "iou_threshold": options.iou_threshold,
        "nms": _NMS[options.nms],
        "candidates": options.candidates,
        "top_k": options.top_k or 0,
    }
    if options.score_threshold is not None:
        asked["score_threshold"] = options.score_threshold
    return asked


def faces_of(found: Iterable[Any]) -> Faces:
    """Return records of `ultraface_face` as the pipeline's faces."""
    rows = [(face.x1, face.y1, face.x2, face.y2, face.score, face.label) for face in found]
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Faces(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int64))


def image_of(
    pixels: npt.NDArray[np.uint8],
    format: str = "bgr",
    rotation: int = 0,
    mirrored: bool = False,
    region: Rectangle | None = None,
) -> ultraface.Image:
    """Describe an array as an `ultraface_image`; the array must outlive it.

    Args:
        pixels: rows of uint8 pixels; a view with gaps between its rows is read in place. YUV is
            (height * 3 / 2, width).
        format: one of `FORMATS`.
        rotation: degrees clockwise that turn the picture upright.
        mirrored: whether it is then mirrored.
        region: part of the upright picture to look at.
    """
    rows, width = pixels.shape[:2]
    size = ctypes.sizeof(ultraface.Image)
    image = ultraface.Image(size=size, format=FORMATS[format], width=width)
    image.height = rows * 2 // 3 if format in YUV else rows
    image.stride, image.pixels = pixels.strides[0], pixels.ctypes.data
    image.bytes = (rows - 1) * pixels.strides[0] + pixels[0].nbytes
    image.rotation, image.mirrored, image.region = rotation, mirrored, region or (0, 0, 0, 0)
    return image


class LibraryDetector:
    """A detector of a built library; used like `Detector`."""

    def __init__(
        self,
        library: Path,
        models: Path | None = None,
        options: PostprocessOptions | None = None,
        threads: int = 1,
        capacity: int = 1024,
        keep_aspect: bool = False,
    ) -> None:
        """Load a library and create a detector.

        Args:
            library: the `libultraface.so` of a project that `write_project` wrote.
            models: folder of its model files; None for the embedded model.
            options: thresholds and NMS kind.
            threads: threads of one inference.
            capacity: faces that one image may have.
            keep_aspect: fit images into the network's input and pad them.

        Raises:
            InputError: the library cannot be loaded.
            LibraryError: it cannot create a detector.
        """
        try:
            self.c = ultraface.Detector(
                models,
                library=library,
                capacity=capacity,
                threads=threads,
                keep_aspect=keep_aspect,
                **c_options(options or PostprocessOptions()),
            )
        except OSError as error:
            raise InputError(
                f"{library}: cannot be loaded ({error}); build it for this machine"
            ) from error
        except ultraface.Error as error:
            raise LibraryError(error.status, str(error)) from error

    def detect(
        self,
        image: npt.NDArray[np.uint8],
        format: str = "bgr",
        rotation: int = 0,
        mirrored: bool = False,
        region: Rectangle | None = None,
    ) -> Faces:
        """Find the faces of one image; see `image_of`.

        Raises:
            LibraryError: the library refuses the image or failed.
        """
        try:
            found = self.c.run(image_of(image, format, rotation, mirrored, region))
        except ultraface.Error as error:
            raise LibraryError(error.status, str(error)) from error
        return faces_of(found)

    def close(self) -> None:
        """Free the detector."""
        self.c.close()

    def __enter__(self) -> LibraryDetector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
