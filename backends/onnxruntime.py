"""ONNX Runtime on the CPU."""

# Tested by tests/backends/test_runtimes.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.family.spec import ModelSpec

_ERRORS_ONLY = 3


class _Session(Session):
    def __init__(self, spec: ModelSpec, session: Any) -> None:
        super().__init__(spec)
        self._session = session
        self._input = session.get_inputs()[0].name
        half = session.get_inputs()[0].type == "tensor(float16)"
        self._type = np.float16 if half else np.float32
        self._names = [output.name for output in session.get_outputs()]

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        outputs = self._session.run(None, {self._input: tensor.astype(self._type, copy=False)})
        named = zip(self._names, outputs, strict=True)
        return {name: value.astype(np.float32, copy=False) for name, value in named}


class OnnxRuntime(Backend):
    """Runs simplified, plain and INT8 (QDQ) ONNX."""

    name = "onnxruntime"
    formats = ("onnxsim", "onnx")
    module = "onnxruntime"
    distribution = "onnxruntime"
    wheels = ("onnxruntime",)

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        return _Session(spec, _open(files[0], threads))


def _open(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


BACKEND = OnnxRuntime()
