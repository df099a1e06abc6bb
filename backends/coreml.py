"""Core ML: its runtime on macOS, and elsewhere our own reading of the saved program, as a check."""

# Tested by tests/converters/coreml/test_coreml.py.

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.backends.mil import Program
from ultraface_deploy.family.spec import ModelSpec

# What it converts from, and imports where it is there: seconds, and a warning of its version each.
_SOURCES = ("torch", "tensorflow", "sklearn", "xgboost", "libsvm")
_importing = Lock()
_ON_A_MAC = sys.platform == "darwin"


def import_coremltools() -> Any:
    """Import coremltools without the frameworks that it converts from."""
    with _importing:
        if "coremltools" in sys.modules:
            return sys.modules["coremltools"]
        kept = {name: sys.modules.get(name) for name in _SOURCES}
        sys.modules.update(dict.fromkeys(_SOURCES))  # type: ignore[arg-type] # cannot be imported
        # It says that its runtime is not there, which nobody asked for elsewhere than on a Mac.
        logging.getLogger("coremltools").setLevel(logging.ERROR)
        try:
            import coremltools
        finally:
            for name, module in kept.items():
                del sys.modules[name]
                if module is not None:
                    sys.modules[name] = module
        return coremltools


class _Interpreted(Session):
    def __init__(self, spec: ModelSpec, program: Program) -> None:
        super().__init__(spec)
        self._program = program

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        return self._program.run(tensor)


class _OnAMac(Session):
    def __init__(self, spec: ModelSpec, package: Path) -> None:
        super().__init__(spec)
        coremltools = import_coremltools()
        # The Neural Engine and the GPU compute in halves.
        units = coremltools.ComputeUnit.CPU_ONLY
        self._model = coremltools.models.MLModel(str(package), compute_units=units)
        (given,) = self._model.get_spec().description.input
        self._given = given.name

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        outputs = self._model.predict({self._given: tensor})
        return {name: np.array(value, np.float32) for name, value in outputs.items()}


class CoreMl(Backend):
    """Runs the program of an `.mlpackage`."""

    name = "coreml"
    formats = ("coreml",)
    module = "coremltools"
    distribution = "coremltools"
    extra = "coreml"

    def shows(self, format: str) -> Shown:
        """Say whether it is Core ML or our reading of the file."""
        return "runtime" if _ON_A_MAC else "interpreter"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        if _ON_A_MAC:
            return _OnAMac(spec, files[0].parents[2])
        return _Interpreted(spec, Program.read(files[0], files[1]))


BACKEND = CoreMl()
