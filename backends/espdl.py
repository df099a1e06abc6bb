"""Espressif's ESP-DL: our own reading of the file, as a check. It counts no cycles."""

# Tested by tests/converters/espdl/test_espdl.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.backends.edl import Program
from ultraface_deploy.family.spec import ModelSpec


class _Interpreted(Session):
    def __init__(self, spec: ModelSpec, program: Program) -> None:
        super().__init__(spec)
        self._program = program

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        return self._program.run(tensor)


class EspDl(Backend):
    """Computes `.espdl` files as ESP-DL does on the ESP32-P4."""

    name = "espdl"
    formats = ("espdl",)
    module = distribution = "numpy"

    def shows(self, format: str) -> Shown:
        """Say that it is our reading of the file."""
        return "interpreter"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        return _Interpreted(spec, Program.read(files[0]))


BACKEND = EspDl()
