"""tflite-micro, the interpreter of microcontrollers, run here: a check, and no fast runtime.

Its kernels are the reference ones. What it needs of a microcontroller's memory is its arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.backends.litert import StoredInput, real_values
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.child import run_in_child

_KIB = 1024
# Room for any network of this family up to 640x480; what is not used costs nothing here.
_ARENA = 64 * 1024
_SMALLEST, _STEP = 32, 4


class _Session(Session):
    def __init__(self, spec: ModelSpec, interpreter: Any) -> None:
        super().__init__(spec)
        self._interpreter = interpreter
        self._input = StoredInput(_details(interpreter.get_input_details(0)), spec)
        self._outputs = [_details(interpreter.get_output_details(place)) for place in range(2)]

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        self._interpreter.set_input(self._input.stored(tensor), 0)
        self._interpreter.invoke()
        # Outputs have no names here; they are told apart by their shapes.
        return {
            str(place): real_values(self._interpreter.get_output(place), details)
            for place, details in enumerate(self._outputs)
        }


class TfLiteMicro(Backend):
    """Runs the network in integers that an Ethos-U artifact carries."""

    name = "tflm"
    formats = ("ethosu",)
    module = "tflite_micro"
    distribution = "tflite-micro"
    extra = "tflm"

    def shows(self, format: str) -> Shown:
        """Say that it has the arithmetic of an Ethos-U, but is none."""
        return "simulator"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        return _Session(spec, open_interpreter(files[0], _ARENA))

    def arena_kib(self, files: Sequence[Path]) -> int:
        """Return the smallest arena that the network runs in, to 4 KiB; seconds of work."""
        low, high = _SMALLEST, _ARENA
        while high - low > _STEP:
            middle = (low + high) // 2
            low, high = (low, middle) if _fits(files[0], middle) else (middle, high)
        return high


def _fits(path: Path, arena: int) -> bool:
    """Whether the network runs in so many KiB; asked in a child, as too small a one crashes."""
    arguments = {"path": str(path.resolve()), "arena": arena}
    try:
        run_in_child(f"{__name__}:run_in_arena", arguments, what="tflite-micro")
    except ToolFailed:
        return False
    return True


def run_in_arena(path: str, arena: int) -> None:
    """Run the network once in an arena of so many KiB; it crashes or raises in too small a one."""
    import numpy as np

    interpreter = open_interpreter(Path(path), arena)
    given = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(tuple(given["shape"]), given["dtype"]), 0)
    interpreter.invoke()


def open_interpreter(path: Path, arena: int) -> Any:
    """Return an interpreter of a file, with an arena of so many KiB."""
    from tflite_micro import runtime

    return runtime.Interpreter.from_file(str(path), arena_size=arena * _KIB)


def _details(found: Mapping[str, Any]) -> dict[str, Any]:
    """Bring what it says of a tensor into the form in which LiteRT says it."""
    quantization = found["quantization_parameters"]
    scales, zeros = quantization["scales"], quantization["zero_points"]
    return {
        "index": 0,
        "shape": found["shape"],
        "dtype": found["dtype"],
        "quantization": (float(scales[0]), int(zeros[0])) if len(scales) else (0.0, 0),
    }


BACKEND = TfLiteMicro()
