"""Other people's detectors, and ours, as one kind of thing: pixels in, faces out.

So the same images, the same sizes and the same protocol measure all of them. Another detector
comes in through the entry-point group `ultraface_deploy.peers`: a callable of (file or None,
threads) that returns a `Peer`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ultraface_deploy import models
from ultraface_deploy.accuracy.settings import EvalSettings, fit, tensor_of
from ultraface_deploy.backends import Session, get_backend
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.yunet import GRID, YuNet, prove_harmless
from ultraface_deploy.errors import InputError
from ultraface_deploy.models.pull import checkpoint_of
from ultraface_deploy.pipeline import Faces, PostprocessOptions, postprocess
from ultraface_deploy.pipeline.preprocess import Image
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.opencv import cv2

GROUP = "ultraface_deploy.peers"
OPTIONS = PostprocessOptions(score_threshold=0.02, candidates=800, top_k=400)
"""Those of the published figures, for all alike."""
IN_USE = PostprocessOptions(score_threshold=0.5)
"""What a program asks for; the low threshold above costs more than most of the networks."""


class Peer(Protocol):
    """A face detector."""

    @property
    def runtime(self) -> str:
        """What runs it."""
        ...

    @property
    def file(self) -> Path | None:
        """What it needs beside its runtime."""
        ...

    @property
    def grid(self) -> int:
        """Its input is padded to multiples of so many pixels."""
        ...

    def detect(self, bgr: Image, width: int, height: int) -> Faces:
        """Find faces in (H, W, 3) uint8 BGR, looked at with width x height pixels.

        Returns:
            Boxes with their scores, corners in pixels of `bgr`.
        """
        ...


@dataclass(frozen=True)
class NamedPeer:
    """A peer and how tables call it."""

    name: str
    peer: Peer


class Own:
    """A network of this family: in ONNX Runtime at its own input size, at any other in torch.

    The exported files state one size; the checkpoint's network takes any.
    """

    runtime = "onnxruntime"
    grid = 1

    def __init__(self, model: str, threads: int, options: PostprocessOptions = OPTIONS) -> None:
        self._model, self._threads, self._options = model, threads, options
        entry = models.registry().get(model)
        self._checkpoint = checkpoint_of(entry) if entry else Path(model)
        self.file = models.FOLDER / entry.onnx if entry and entry.onnx else self._checkpoint
        backend = "torch" if self.file.suffix == ".pth" else self.runtime
        self._detector = Detector.open(self.file, backend, threads=threads, options=options)
        self.spec = self._detector.spec
        self._sessions: dict[tuple[int, int], Session] = {}

    def detect(self, bgr: Image, width: int, height: int) -> Faces:
        """See `Peer`; another size than its own is padded as `eval --scale` does."""
        if (width, height) == (self.spec.width, self.spec.height):
            return self._detector.detect(bgr)
        fitted = fit(bgr, self.spec, EvalSettings(scale=max(width, height)))
        size = (fitted.width, fitted.height)
        session = self._sessions.get(size) or self._load(*size)
        outputs = session.run(tensor_of(fitted, self.spec))
        return postprocess(
            outputs["scores"], outputs["boxes"], session.spec, fitted.extent, self._options
        )

    def _load(self, width: int, height: int) -> Session:
        if self._checkpoint.suffix != ".pth":
            raise InputError(
                f"{self._model}: runs at its own input size only; give the .pth checkpoint"
            )
        backend = get_backend("torch")
        session = backend.load(
            (self._checkpoint,), self.spec.resized(width, height), self._threads, "fp32"
        )
        self._sessions[width, height] = session
        return session


class OpenCvYuNet:
    """YuNet as OpenCV runs it."""

    runtime = "opencv"
    grid = GRID

    def __init__(self, file: Path, threads: int, options: PostprocessOptions = OPTIONS) -> None:
        arguments = {"path": str(file.resolve())}
        prove_harmless(file, f"{__name__}:open_in_opencv", arguments)
        cv2.setNumThreads(threads)
        self.file, self._options = file, options
        self._net = _open_in_opencv(file, options)

    def detect(self, bgr: Image, width: int, height: int) -> Faces:
        """See `Peer`."""
        self._net.setInputSize((width, height))
        _, found = self._net.detect(cv2.resize(bgr, (width, height)))
        rows = np.empty((0, 15), np.float32) if found is None else found[: self._options.top_k]
        return _faces(rows[:, :4], rows[:, 14], bgr, width, height)


def open_in_opencv(path: str) -> None:
    """Run a file once, in the child process."""
    _open_in_opencv(Path(path), OPTIONS)


def _open_in_opencv(file: Path, options: PostprocessOptions) -> Any:
    try:
        net = cv2.FaceDetectorYN.create(
            str(file),
            "",
            (320, 320),
            score_threshold=float(options.score_threshold or 0),
            nms_threshold=options.iou_threshold,
            top_k=options.candidates,
        )
        net.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        raise InputError(
            f"{file}: OpenCV's FaceDetectorYN cannot run it; give the file with a fixed input"
        ) from error
    return net


class OrtYuNet:
    """YuNet in ONNX Runtime; takes the files with a free input size."""

    runtime = "onnxruntime"
    grid = GRID

    def __init__(self, file: Path, threads: int, options: PostprocessOptions = OPTIONS) -> None:
        self.file, self._options, self._net = file, options, YuNet(file, threads)

    def detect(self, bgr: Image, width: int, height: int) -> Faces:
        """See `Peer`."""
        return self._net.detect(bgr, width, height, self._options)


class LibFaceDetection:
    """libfacedetection, version 3 or later, from its shared library.

    Its function takes BGR and a buffer for the answer, in which a count is followed by 16 numbers
    of 16 bits for each face: confidence in percent, x, y, width, height and landmarks.
    """

    runtime = "libfacedetection"
    grid = 1
    _BUFFER = 0x20000  # what the largest of its versions asks for
    _SYMBOLS = ("facedetect_cnn", "_Z14facedetect_cnnPhS_iii")
    _ROW = 16

    def __init__(self, file: Path, threads: int, options: PostprocessOptions = OPTIONS) -> None:
        require_file(file, "shared library")
        self.file = file
        try:
            library = ctypes.CDLL(str(file.resolve()))
        except OSError as error:
            raise InputError(
                f"{file}: cannot be loaded ({error}); build it for this machine"
            ) from error
        symbol = next((name for name in self._SYMBOLS if hasattr(library, name)), None)
        if symbol is None:
            raise InputError(f"{file}: has no function facedetect_cnn; give libfacedetection's")
        self._function = getattr(library, symbol)
        self._function.restype = ctypes.POINTER(ctypes.c_int)
        self._function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int] * 3]
        self._buffer = ctypes.create_string_buffer(self._BUFFER)

    def detect(self, bgr: Image, width: int, height: int) -> Faces:
        """See `Peer`."""
        pixels = np.ascontiguousarray(cv2.resize(bgr, (width, height)))
        answer = self._function(self._buffer, pixels.ctypes.data, width, height, 3 * width)
        most = (self._BUFFER - 4) // (2 * self._ROW)
        count = min(answer[0], most) if answer else 0
        numbers = self._buffer.raw[4 : 4 + 2 * self._ROW * count]
        rows = np.frombuffer(numbers, np.int16).reshape(count, self._ROW).astype(np.float32)
        return _faces(rows[:, 1:5], rows[:, 0] / 100, bgr, width, height)


_BUILT_IN: dict[str, Callable[[Path, int, PostprocessOptions], Peer]] = {
    "yunet": OrtYuNet,
    "yunet-opencv": OpenCvYuNet,
    "libfacedetection": LibFaceDetection,
}


def open_peers(
    given: list[str], threads: int = 1, options: PostprocessOptions = OPTIONS
) -> list[NamedPeer]:
    """Open the detectors that are named.

    Args:
        given: models of ours, by name or file; or KIND=FILE with a kind that is built in
            (yunet, yunet-opencv, libfacedetection) or comes from an entry point; for the latter
            KIND= is enough where it needs no file.
        threads: for each network.
        options: thresholds and NMS; plug-ins and libfacedetection have their own.

    Raises:
        InputError: no such kind or model, a file that it cannot run, or two of the same name.
    """
    opened = [_open(text, threads, options) for text in given]
    if len({each.name for each in opened}) != len(opened):
        raise InputError("two detectors have the same name; give each once")
    return opened


def _open(text: str, threads: int, options: PostprocessOptions) -> NamedPeer:
    kind, separator, name = text.partition("=")
    if not separator:
        return NamedPeer(Path(text).stem if "/" in text else text, Own(text, threads, options))
    file = Path(name) if name else None
    if kind in _BUILT_IN:
        if file is None:
            raise InputError(f"{text}: needs a file; give {kind}=FILE")
        built_in = _BUILT_IN[kind](file, threads, options)
        return NamedPeer(f"{file.stem} ({built_in.runtime})", built_in)
    found = entry_points(group=GROUP, name=kind)
    if not found:
        known = [*_BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))]
        raise InputError(f"{text}: no detector of the kind {kind!r}; there are {', '.join(known)}")
    peer: Peer = next(iter(found)).load()(file, threads)
    return NamedPeer(kind, peer)


def _faces(
    corner_size: np.ndarray, scores: np.ndarray, bgr: Image, width: int, height: int
) -> Faces:
    """From x, y, width, height in pixels of the view to corners in pixels of the image."""
    scale = np.array([bgr.shape[1] / width, bgr.shape[0] / height] * 2, np.float32)
    boxes = np.concatenate([corner_size[:, :2], corner_size[:, :2] + corner_size[:, 2:]], axis=1)
    order = np.argsort(-scores, kind="stable")
    ones = np.ones(len(scores), np.int64)
    return Faces((boxes * scale)[order].astype(np.float32), scores[order].astype(np.float32), ones)
