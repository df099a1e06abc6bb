"""MNN on the CPU."""

# Tested by tests/backends/test_runtimes.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ultraface_deploy.agreement.precision import Precision, Tolerance
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import BackendError
from ultraface_deploy.family.spec import ModelSpec


class _Session(Session):
    def __init__(self, spec: ModelSpec, interpreter: Any, session: Any) -> None:
        super().__init__(spec)
        import MNN

        self._interpreter, self._session = interpreter, session
        self._input = interpreter.getSessionInput(session)
        self._shape = tuple(self._input.getShape())
        self.batch = max(1, self._shape[0])
        self._outputs = dict(interpreter.getSessionOutputAll(session))
        self._host_outputs = {
            name: MNN.Tensor(
                tuple(output.getShape()),
                MNN.Halide_Type_Float,
                np.zeros(output.getShape(), np.float32),
                MNN.Tensor_DimensionType_Caffe,
            )
            for name, output in self._outputs.items()
        }

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        import MNN

        # Old files declare another memory layout for their input; the host tensor states ours.
        host = MNN.Tensor(
            (self.batch, *self.spec.input_shape[1:]),
            MNN.Halide_Type_Float,
            tensor,
            MNN.Tensor_DimensionType_Caffe,
        )
        self._input.copyFrom(host)
        if self._interpreter.runSession(self._session) != 0:
            raise BackendError("MNN failed to run the session")
        outputs = {}
        for name, output in self._outputs.items():
            host_output = self._host_outputs[name]
            output.copyToHostTensor(host_output)
            outputs[name] = np.array(host_output.getNumpyData(), dtype=np.float32)
        return outputs


class Mnn(Backend):
    """Runs `.mnn` files of any precision."""

    name = "mnn"
    formats = ("mnn",)
    halves = True
    # Its Winograd convolutions differ more than others, most of all in RFB's 3x3 branches.
    tolerances: ClassVar[Mapping[Precision, Tolerance]] = {"fp32": Tolerance(2e-3, 2e-2)}
    module = "MNN"
    distribution = "MNN"
    extra = "mnn"
    wheels = ("MNN",)

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        import MNN

        interpreter = MNN.Interpreter(str(files[0]))
        session = interpreter.createSession(
            {
                "backend": "CPU",
                "numThread": threads,
                "precision": "low" if precision == "fp16" else "normal",
            }
        )
        return _Session(spec, interpreter, session)

    def input_size(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Read the size off the session's input."""
        import MNN

        interpreter = MNN.Interpreter(str(files[0]))
        shape = interpreter.getSessionInput(
            interpreter.createSession({"backend": "CPU"})
        ).getShape()
        return (shape[3], shape[2]) if len(shape) == 4 else None


BACKEND = Mnn()
