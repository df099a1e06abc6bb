"""Finds faces through the C library: pixels in, faces out; needs nothing but Python itself.

`libultraface.so` is taken from the environment variable ULTRAFACE_LIBRARY, or from beside this
file, or from where CMake puts it (`cmake --preset shared`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

API_VERSION = 1
"""Of the header that this file was written for."""
_INVALID_ARGUMENT = 1
_HERE = Path(__file__).resolve().parent


class Format(IntEnum):
    """How pixels lie in memory; see `ultraface_format` in `ultraface.h`."""

    BGR = 0
    RGB = 1
    GRAY = 2
    NV21 = 3
    RGBA = 4
    BGRA = 5
    NV12 = 6
    I420 = 7


class Nms(IntEnum):
    """What becomes of boxes that overlap a better one."""

    HARD = 0
    SOFT = 1
    BLEND = 2


class Face(NamedTuple):
    """Corners in pixels of the upright picture, score in 0..1, class from 1."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    label: int


class Error(Exception):
    """The library refused an argument or failed.

    Attributes:
        status: one of `ultraface_status` in `ultraface.h`.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Options(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("score_threshold", ctypes.c_float),
        ("iou_threshold", ctypes.c_float),
        ("nms", ctypes.c_int32),
        ("candidates", ctypes.c_int32),
        ("top_k", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("keep_aspect", ctypes.c_int32),
    )


class Image(ctypes.Structure):
    """`ultraface_image`, for what `Detector.detect` has no argument for."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("format", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("stride", ctypes.c_int32),
        ("rotation", ctypes.c_int32),
        ("mirrored", ctypes.c_int32),
        ("region", ctypes.c_int32 * 4),
        ("chroma_stride", ctypes.c_int32),
        ("pixels", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("chroma", ctypes.c_void_p * 2),
        ("chroma_bytes", ctypes.c_size_t * 2),
    )


class _Face(ctypes.Structure):
    _fields_ = (
        ("x1", ctypes.c_float),
        ("y1", ctypes.c_float),
        ("x2", ctypes.c_float),
        ("y2", ctypes.c_float),
        ("score", ctypes.c_float),
        ("label", ctypes.c_int32),
    )


class Detector:
    """A loaded model. Threads may share it, but then wait for each other: open one a thread."""

    def __init__(
        self,
        model_dir: str | os.PathLike[str] | None = None,
        *,
        library: str | os.PathLike[str] | None = None,
        capacity: int = 256,
        **options: float,
    ) -> None:
        """Load the model and prove that it runs.

        Args:
            model_dir: folder of the model files; None for the model in the library.
            library: the shared library; None looks where the text of this file says.
            capacity: faces that one picture may have.
            options: fields of `ultraface_options`, such as `score_threshold=0.6, threads=2`.

        Raises:
            Error: the library refuses the options or the model.
            OSError: the library cannot be loaded.
            TypeError: an option has no such name.
        """
        self.handle = ctypes.c_void_p()
        self._lock = threading.Lock()
        self.library = _load(find_library() if library is None else Path(library))
        self._faces_type = _Face * capacity
        chosen = _Options()
        self._check(
            self.library.ultraface_default_options(ctypes.byref(chosen), ctypes.sizeof(chosen))
        )
        names = {name for name, _ in _Options._fields_} - {"size"}
        for name, value in options.items():
            if name not in names:
                raise TypeError(f"{name} is no option; there are {', '.join(sorted(names))}")
            setattr(chosen, name, value)
        folder = None if model_dir is None else os.fsencode(model_dir)
        self._check(
            self.library.ultraface_create(folder, ctypes.byref(chosen), ctypes.byref(self.handle))
        )

    def detect(
        self,
        pixels: Any,
        width: int,
        height: int,
        format: Format = Format.BGR,
        *,
        stride: int = 0,
        rotation: int = 0,
        mirrored: bool = False,
        region: Sequence[int] | None = None,
    ) -> list[Face]:
        """Find the faces of one picture, best first.

        Args:
            pixels: whatever lends its bytes in one piece: bytes, a memoryview, a NumPy array.
            width: of the picture as it lies in memory.
            height: of the same.
            format: of the pixels.
            stride: bytes from row to row; 0 for rows without gaps.
            rotation: degrees clockwise that turn the picture upright: 0, 90, 180 or 270.
            mirrored: whether it is then mirrored from left to right.
            region: x, y, width, height of the part of the upright picture to look at.

        Raises:
            Error: the library refuses the picture, or the detector is closed.
            TypeError: `pixels` lends no bytes.
        """
        if pixels is None:
            raise Error(_INVALID_ARGUMENT, "pixels is None")
        address, size, keep = _borrow(pixels)
        image = Image(
            size=ctypes.sizeof(Image),
            format=format,
            width=width,
            height=height,
            stride=stride,
            rotation=rotation,
            mirrored=mirrored,
            region=tuple(region or (0, 0, 0, 0)),
            pixels=address,
            bytes=size,
        )
        faces = self.run(image)
        del keep
        return faces

    def run(self, image: Image) -> list[Face]:
        """Find the faces of what an `ultraface_image` says."""
        count = ctypes.c_int32()
        found = self._faces_type()
        with self._lock:
            status = self.library.ultraface_detect(
                self.handle, ctypes.byref(image), found, len(found), ctypes.byref(count)
            )
        self._check(status)
        return [
            Face(face.x1, face.y1, face.x2, face.y2, face.score, face.label)
            for face in found[: min(count.value, len(found))]
        ]

    def class_name(self, label: int) -> str | None:
        """Return what the class of a label is called; None where the network does not say."""
        name: bytes | None = self.library.ultraface_class_name(label)
        return None if name is None else name.decode()

    def close(self) -> None:
        """Free the detector, once no other thread is using it."""
        with self._lock:
            handle, self.handle = self.handle, ctypes.c_void_p()
            self.library.ultraface_destroy(handle)

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.close()

    def _check(self, status: int) -> None:
        if status != 0:
            raise Error(status, self.library.ultraface_last_error().decode())


def find_library() -> Path:
    """Return where the shared library is."""
    name = "libultraface.so"
    named = os.environ.get("ULTRAFACE_LIBRARY")
    built = _HERE.parent.parent / "build" / "shared" / name
    return Path(named) if named else _HERE / name if (_HERE / name).exists() else built


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    version = library.ultraface_version()
    if version != API_VERSION:
        raise OSError(f"{path}: has version {version} of the interface; {API_VERSION} is needed")
    pointer = ctypes.c_void_p
    library.ultraface_last_error.restype = ctypes.c_char_p
    library.ultraface_class_name.restype = ctypes.c_char_p
    library.ultraface_class_name.argtypes = [ctypes.c_int32]
    library.ultraface_destroy.restype = None
    library.ultraface_destroy.argtypes = [pointer]
    library.ultraface_create.argtypes = [ctypes.c_char_p, pointer, pointer]
    library.ultraface_detect.argtypes = [pointer, pointer, pointer, ctypes.c_int32, pointer]
    return library


def _borrow(pixels: Any) -> tuple[int | None, int, object]:
    """Return the address and the size of a buffer, and what keeps it where it is."""
    view = memoryview(pixels).cast("B")
    if view.readonly:
        # ctypes takes the address of bytes without a copy, of other read-only memory with one.
        content = pixels if isinstance(pixels, bytes) else view.tobytes()
        address = ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value
        return address, view.nbytes, content
    if view.nbytes == 0:
        return None, 0, view
    array = (ctypes.c_uint8 * view.nbytes).from_buffer(view)
    return ctypes.addressof(array), view.nbytes, array
