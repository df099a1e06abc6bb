"""YuNet, a published face detector of another family: a peer to compare with, and a teacher.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023. For each cell of strides 8,
16 and 32 it gives a class and an objectness score, whose geometric mean is the face's, and a box:
centre in cells from the cell's corner, logarithmic sizes in cells. It reads BGR, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.converters.onnx.header import refuse_external_data
from ultraface_deploy.errors import InputError, MissingDependency, ToolFailed
from ultraface_deploy.pipeline import Faces, PostprocessOptions, nms
from ultraface_deploy.pipeline.preprocess import Image
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.kinds import GET_AGAIN
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.opencv import cv2

_STRIDES = (8, 16, 32)
GRID = 32
_TIMEOUT_S = 40.0
_OUTPUTS = ("cls", "obj", "bbox")


class YuNet:
    """A `yunet_*.onnx` file in ONNX Runtime.

    Args:
        path: the ONNX file; with a free input size, or one that is then used for every image.
        threads: for the network.

    Raises:
        InputError: the file is missing, not ONNX, or another network.
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        prove_harmless(path, f"{__name__}:run_once", {"path": str(path.resolve())})
        self._adopt(path, threads)

    def _adopt(self, path: Path, threads: int) -> None:
        self._session = _open(path, threads)
        self._input = self._session.get_inputs()[0]
        self._names = [f"{name}_{stride}" for stride in _STRIDES for name in _OUTPUTS]
        known = {output.name for output in self._session.get_outputs()}
        if missing := set(self._names) - known:
            lacking = f"not a YuNet, it has no output {min(missing)}"
            raise InputError(f"{path}: {lacking}; give a yunet_*.onnx")

    def detect(self, bgr: Image, width: int, height: int, options: PostprocessOptions) -> Faces:
        """Find faces in an image that is resized to width x height first.

        Args:
            bgr: (H, W, 3) uint8.
            width: of the network's view, which is padded to multiples of 32.
            height: likewise.
            options: threshold, candidates and hard NMS, as for our own networks.

        Returns:
            Boxes in pixels of the image, scores and labels.
        """
        padded_width, padded_height = (-(-side // GRID) * GRID for side in (width, height))
        tensor = np.zeros((1, 3, padded_height, padded_width), np.float32)
        tensor[0, :, :height, :width] = cv2.resize(bgr, (width, height)).transpose(2, 0, 1)
        outputs = self._session.run(self._names, {self._input.name: tensor})
        scores, boxes = _decode(outputs, padded_width)
        best = np.flatnonzero(scores > (options.score_threshold or 0.0))
        best = best[np.argsort(-scores[best], kind="stable")][: options.candidates]
        kept, sure = nms(boxes[best], scores[best], iou_threshold=options.iou_threshold)
        kept, sure = kept[: options.top_k], sure[: options.top_k]
        scale = np.array([bgr.shape[1] / width, bgr.shape[0] / height] * 2, np.float32)
        return Faces(kept * scale, sure, np.ones(len(kept), np.int64))


def prove_harmless(path: Path, target: str, arguments: Mapping[str, Any]) -> None:
    """Run a stranger's ONNX file in a child process before it is opened here.

    Args:
        path: the file.
        target: what runs it, `module:function`.
        arguments: of that function.

    Raises:
        InputError: it is missing or damaged, reads other files, crashes, hangs or takes too much
            memory.
        MissingDependency: the runtime is not installed.
    """
    require_file(path, "YuNet model", Limit.MODEL)
    refuse_external_data(path)
    try:
        run_in_child(
            *(target, arguments),
            what=path.name,
            timeout=_TIMEOUT_S,
            memory=Limit.MODEL.bytes,
        )
    except ToolFailed as error:
        raise InputError(f"{path}: cannot be run ({error}); {GET_AGAIN}") from error


def run_once(path: str) -> None:
    """Find faces in a black picture, in the child process."""
    net = YuNet.__new__(YuNet)
    net._adopt(Path(path), 1)
    height, width = (side if isinstance(side, int) else 3 * GRID for side in net._input.shape[-2:])
    black = np.zeros((height, width, 3), np.uint8)
    net.detect(black, width, height, PostprocessOptions(score_threshold=0.5))


def _open(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency.package("onnxruntime", "all", "YuNet") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise InputError(f"{path}: ONNX Runtime cannot open it ({error}); {GET_AGAIN}") from error


def _decode(
    outputs: list[Any], width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return scores (N,) and corners (N, 4) in pixels of the padded view."""
    scores, boxes = [], []
    for stride, (face, there, box) in zip(
        _STRIDES, (outputs[i : i + 3] for i in (0, 3, 6)), strict=True
    ):
        cells = np.arange(face.shape[1])
        columns = width // stride
        corner = np.stack([cells % columns, cells // columns], 1)
        center, half = (box[0, :, :2] + corner) * stride, np.exp(box[0, :, 2:]) * (stride / 2)
        boxes.append(np.concatenate([center - half, center + half], 1))
        scores.append(np.sqrt(face[0, :, 0].clip(0, 1) * there[0, :, 0].clip(0, 1)))
    return np.concatenate(scores), np.concatenate(boxes).astype(np.float32)
