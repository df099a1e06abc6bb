"""OpenCV DNN on the CPU."""

# Tested by tests/backends/test_runtimes.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.family.spec import ModelSpec


class _Session(Session):
    def __init__(self, spec: ModelSpec, net: Any, threads: int) -> None:
        super().__init__(spec)
        self._net = net
        self._threads = threads
        self._names = list(net.getUnconnectedOutLayersNames())

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        import cv2

        # OpenCV has one thread pool for the whole process; its size is set where it is used.
        if cv2.getNumThreads() != self._threads:
            cv2.setNumThreads(self._threads)
        self._net.setInput(tensor)
        outputs = self._net.forward(self._names)
        return {name: value.copy() for name, value in zip(self._names, outputs, strict=True)}


class OpenCV(Backend):
    """Runs simplified or plain ONNX, and Caffe pairs."""

    name = "opencv"
    formats = ("onnxsim", "onnx", "caffe")
    # INT8 ONNX is accepted by what ONNX Runtime computes; OpenCV rounds it a little otherwise.
    refuses = frozenset({"int8"})
    module = "cv2"
    distribution = "opencv-python-headless"
    requirement = "opencv-python-headless<5"
    wheels = ("opencv-python-headless",)

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        import cv2

        if files[0].suffix == ".prototxt":
            net = cv2.dnn.readNetFromCaffe(*(str(path) for path in files))
        else:
            net = cv2.dnn.readNetFromONNX(str(files[0]))
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        # OpenCV's Winograd trades accuracy for speed on these small layers without gaining any.
        net.enableWinograd(False)
        return _Session(spec, net, threads)


BACKEND = OpenCV()
