"""Calls a built `libultraface.so` through its C interface, to compare it with the pipeline."""

# Tested by tests/sdk/test_detector.py.

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, LibraryError
from ultraface_deploy.pipeline import Faces, NmsKind, PostprocessOptions

_NMS: dict[NmsKind, int] = {"hard": 0, "soft": 1, "blend": 2}
FORMATS = {"bgr": 0, "rgb": 1, "gray": 2, "nv21": 3}


class Options(ctypes.Structure):
    """`ultraface_options`."""

    _fields_ = (
        ("score_threshold", ctypes.c_float),
        ("iou_threshold", ctypes.c_float),
        ("nms", ctypes.c_int32),
        ("candidates", ctypes.c_int32),
        ("top_k", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("keep_aspect", ctypes.c_int32),
    )

    @classmethod
    def of(
        cls,
        options: PostprocessOptions,
        threads: int = 1,
        score_threshold: float = 0.5,
        keep_aspect: bool = False,
    ) -> Options:
        """Translate the pipeline's options; `score_threshold` is the model's own."""
        return cls(
            score_threshold if options.score_threshold is None else options.score_threshold,
            options.iou_threshold,
            _NMS[options.nms],
            options.candidates,
            options.top_k or 0,
            threads,
            keep_aspect,
        )


class Face(ctypes.Structure):
    """`ultraface_face`."""

    _fields_ = (
        ("box", ctypes.c_float * 4),
        ("score", ctypes.c_float),
        ("label", ctypes.c_int32),
    )


def faces_of(records: ctypes.Array[Face], count: int) -> Faces:
    """Return the first `count` records of a C array as the pipeline's faces."""
    found = np.frombuffer(bytes(records), dtype=_FACE, count=count)
    return Faces(found["box"].copy(), found["score"].copy(), found["label"].astype(np.int64))


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
            self._c = ctypes.CDLL(str(library))
        except OSError as error:
            raise InputError(f"{library}: cannot be loaded ({error})") from error
        self._c.ultraface_last_error.restype = ctypes.c_char_p
        self._c.ultraface_destroy.restype = None
        self._faces = (Face * capacity)()
        self._handle = ctypes.c_void_p()
        defaults = Options()
        self._c.ultraface_default_options(ctypes.byref(defaults))
        c_options = Options.of(
            options or PostprocessOptions(), threads, defaults.score_threshold, keep_aspect
        )
        folder = None if models is None else str(models).encode()
        self._check(
            self._c.ultraface_create(folder, ctypes.byref(c_options), ctypes.byref(self._handle))
        )

    def detect(self, image: npt.NDArray[np.uint8], format: str = "bgr") -> Faces:
        """Find the faces of one image.

        Args:
            image: rows of uint8 pixels; a view with gaps between its rows is read in place. NV21
                is (height * 3 / 2, width).
            format: one of `FORMATS`.

        Raises:
            LibraryError: the library refuses the image or failed.
        """
        rows, width = image.shape[:2]
        height = rows * 2 // 3 if format == "nv21" else rows
        count = ctypes.c_int32()
        status = self._c.ultraface_detect(
            self._handle,
            ctypes.c_void_p(image.ctypes.data),
            width,
            height,
            image.strides[0],
            FORMATS[format],
            self._faces,
            len(self._faces),
            ctypes.byref(count),
        )
        self._check(status)
        return faces_of(self._faces, min(count.value, len(self._faces)))

    def close(self) -> None:
        """Free the detector."""
        self._c.ultraface_destroy(self._handle)
        self._handle = ctypes.c_void_p()

    def __enter__(self) -> LibraryDetector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, status: int) -> None:
        if status != 0:
            raise LibraryError(status, self._c.ultraface_last_error().decode())


_FACE = np.dtype([("box", np.float32, 4), ("score", np.float32), ("label", np.int32)])
