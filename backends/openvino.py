"""OpenVINO on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.family.spec import ModelSpec

_TELEMETRY = "openvino_telemetry"
_importing = Lock()


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    The package imports `openvino_telemetry` where that is installed, which looks up a host of
    Google Analytics; where it is not installed, OpenVINO goes on without. To this import it is
    not.
    """
    with _importing:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        kept = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment] # means: cannot be imported
        try:
            import openvino
        finally:
            del sys.modules[_TELEMETRY]
            if kept is not None:
                sys.modules[_TELEMETRY] = kept
        return openvino


class _Session(Session):
    def __init__(self, spec: ModelSpec, compiled: Any) -> None:
        super().__init__(spec)
        self._request = compiled.create_infer_request()
        self._names = [_name(output, index) for index, output in enumerate(compiled.outputs)]

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        self._request.infer([tensor], share_inputs=True)
        outputs = self._request.output_tensors
        return {
            # The buffers are used again in the next run.
            name: np.array(output.data, np.float32)
            for name, output in zip(self._names, outputs, strict=True)
        }


def _name(output: Any, index: int) -> str:
    return str(output.any_name) if output.names else f"output{index}"


class OpenVino(Backend):
    """Runs OpenVINO's own format in every precision."""

    name = "openvino"
    formats = ("openvino",)
    module = "openvino"
    distribution = "openvino"
    extra = "openvino"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        core = import_openvino().Core()
        options = {
            # On processors with bfloat16 or FP16 arithmetic it would use that for FP32 networks:
            # scores were .05 off.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": "1",
        }
        return _Session(spec, core.compile_model(_read(core, files), "CPU", options))

    def input_size(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Read the size off the only input, where it is fixed."""
        model = _read(import_openvino().Core(), files)
        shape = model.inputs[0].partial_shape
        if len(model.inputs) != 1 or shape.rank.is_dynamic or shape.is_dynamic or len(shape) != 4:
            return None
        return shape[3].get_length(), shape[2].get_length()


def _read(core: Any, files: Sequence[Path]) -> Any:
    return core.read_model(str(files[0]), str(files[1]))


BACKEND = OpenVino()
