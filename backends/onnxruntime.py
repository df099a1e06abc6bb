"""ONNX Runtime on the CPU."""

# Tested by tests/backends/test_runtimes.py.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec

_ERRORS_ONLY = 3
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# The environment, because networks are verified and timed in child processes.
DEVICE = "ULTRAFACE_DEPLOY_DEVICE"
# Names people know for ONNX Runtime's execution providers.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "acl": "ACLExecutionProvider",
    "nnapi": "NNAPIExecutionProvider",
    "qnn": "QNNExecutionProvider",
}


class _Session(Session):
    def __init__(self, spec: ModelSpec, session: Any) -> None:
        super().__init__(spec)
        self._session = session
        self._input = session.get_inputs()[0].name
        type = session.get_inputs()[0].type
        if type not in _TYPES:
            raise ValueError(
                f"its input is {type}, and pictures are given as float: export it without what "
                "casts and normalises its input"
            )
        self._type = _TYPES[type]
        first = (session.get_inputs()[0].shape or [1])[0]
        self.batch = first if isinstance(first, int) and first > 0 else None
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

    @property
    def device(self) -> str:
        """The execution provider that networks are loaded on, here and in child processes."""
        return os.environ.get(DEVICE) or "cpu"

    def version(self) -> str | None:
        """Return the runtime's version, with the execution provider where that is another."""
        found = super().version()
        return found if found is None or self.device == "cpu" else f"{found} on {self.device}"

    def use(self, device: str) -> None:
        """Choose an execution provider by its short name, for child processes too.

        Raises:
            InputError: there is none of that name.
            MissingDependency: this build of ONNX Runtime does not have it.
        """
        import onnxruntime

        if device not in PROVIDERS:
            raise InputError(f"`device` {device}: choose from {', '.join(PROVIDERS)}")
        have = [name for name, full in PROVIDERS.items() if full in _available(onnxruntime)]
        if device not in have:
            raise MissingDependency(
                f"`device` {device}: this ONNX Runtime has {', '.join(have)} only; install the "
                f"package of ONNX Runtime for {device}"
            )
        os.environ[DEVICE] = device

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        return _Session(spec, _open(files[0], threads, self.device))


def _available(onnxruntime: Any) -> list[str]:
    return list(onnxruntime.get_available_providers())


def _open(path: Path, threads: int, device: str) -> Any:
    if device not in PROVIDERS:
        raise InputError(f"{DEVICE}={device}: choose from {', '.join(PROVIDERS)}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # The CPU takes what the provider has no kernel for.
    providers = list(dict.fromkeys([PROVIDERS[device], PROVIDERS["cpu"]]))
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers)


BACKEND = OnnxRuntime()
