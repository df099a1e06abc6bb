"""LiteRT (TensorFlow Lite) on the CPU, through its XNNPACK kernels."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.agreement.precision import Precision, Tolerance
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import BackendError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.opencv import cv2

# A side of a picture has more pixels than it has colours.
_MOST_COLOURS = 3
# Floats from here to 2**24 are whole numbers, the nearest to what was added.
_ROUND = 3 << 22
_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))


class _Session(Session):
    def __init__(self, spec: ModelSpec, interpreter: Any) -> None:
        super().__init__(spec)
        self._interpreter = interpreter
        inputs = interpreter.get_input_details()
        if len(inputs) != 1:
            raise BackendError(f"has {len(inputs)} inputs, a detector has one")
        self._input = StoredInput(inputs[0], spec)
        self._outputs = interpreter.get_output_details()

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        self._interpreter.set_tensor(self._input.index, self._input.stored(tensor))
        self._interpreter.invoke()
        return {
            output["name"]: real_values(self._interpreter.get_tensor(output["index"]), output)
            for output in self._outputs
        }


class StoredInput:
    """How the network's input is written down: its layout, its type, its numbers.

    Published files were fed in other ways by their own demos, for example stretched to the
    darkest and brightest pixel of each photograph. The network was trained on one normalisation
    alone, and that is what every file gets here: as real numbers, or as the integers that mean
    them. Integers that mean nothing are the pixels themselves.
    """

    def __init__(self, details: Mapping[str, Any], spec: ModelSpec) -> None:
        self.index: int = details["index"]
        self._channels_last = details["shape"][-1] == spec.channels
        self._dtype = np.dtype(details["dtype"])
        self._bytes: _Bytes | None = None
        if self._dtype in _BYTES:
            self._bytes = _Bytes(self._dtype, details["quantization"], spec)
        elif self._dtype not in (np.float32, np.float16):
            raise BackendError(f"its input is {self._dtype}, not float or 8 bits; export it so")

    def stored(self, tensor: Tensor) -> npt.NDArray[Any]:
        """A network input (1, 3, H, W) float32 as the file takes it."""
        values = self._bytes(tensor[0]) if self._bytes else tensor[0].astype(self._dtype)
        # numpy turns a tensor element by element; OpenCV takes a tenth of the instructions.
        if not self._channels_last:
            return values[None]
        # cv2 leaves out the axis of a single channel.
        last: npt.NDArray[Any] = cv2.merge(list(values))
        return last.reshape(1, *values.shape[1:], len(values))


class _Bytes:
    """Rounds real numbers to whole steps; in few passes, each a hundredth of an inference.

    A step is `scale` wide, and zero lies at `zero`, of all colours or of each.
    """

    def __init__(
        self, dtype: np.dtype[Any], quantization: tuple[float, int], spec: ModelSpec
    ) -> None:
        mean = np.reshape(spec.mean[: spec.channels], (-1, 1, 1))
        self._dtype, (self._scale, whole) = dtype, quantization
        zero = np.full((1, 1, 1), whole, np.float64)
        if self._scale == 0:
            # value = (pixel - mean) / std: the integer is the pixel.
            self._scale, zero = 1 / spec.std[0], mean
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        darkest, brightest = ((pixel - mean) / spec.std[0] / self._scale for pixel in (0, 255))
        self._clip = (darkest + zero).min() < least - 0.5 or (brightest + zero).max() > most + 0.5
        # Steps that are a power of two need not be multiplied to be rounded.
        self._exact = math.frexp(self._scale)[0] == 0.5 and bool((zero == np.rint(zero)).all())
        unit, added = (self._scale, _ROUND + zero) if self._exact else (1.0, np.array(_ROUND))
        self._zero, self._added = np.float32(zero), np.float32(added * unit)
        self._least, self._most = (np.float32((_ROUND + end) * unit) for end in (least, most))

    def __call__(self, values: Tensor) -> npt.NDArray[Any]:
        """Return (C, H, W) float32 as bytes, a half rounded to even."""
        if not self._exact:
            values = values * np.float32(1 / self._scale)
            values += self._zero
        steps = values + self._added
        if self._clip:
            np.clip(steps, self._least, self._most, out=steps)
        # Floats of that size are whole steps apart, so their last bits count them.
        counted: npt.NDArray[Any] = steps.view(np.int32).astype(self._dtype)
        return counted


def real_values(values: npt.NDArray[Any], output: Mapping[str, Any]) -> Tensor:
    """Return the numbers that an output's integers mean."""
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32)
    scale, zero = output["quantization"]
    real: Tensor = (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return real


class LiteRt(Backend):
    """Runs `.tflite` files of any precision, our own and other people's.

    Of what is compiled for an Ethos-U it runs the network in integers that was compiled.
    """

    # XNNPACK sums in another order: of two boxes whose overlap is NMS's bound to the sixth digit
    # another one can stay. Seen for 1 of 1,000 boxes of a network with random weights.
    tolerances: ClassVar[Mapping[Precision, Tolerance]] = {"fp32": Tolerance(5e-5, 5e-4, f1=0.998)}
    name = "litert"
    formats = ("tflite", "ethosu")
    module = "ai_edge_litert"
    distribution = "ai-edge-litert"
    extra = "litert"
    wheels = ("ai-edge-litert",)

    def shows(self, format: str) -> Shown:
        """Say that it has the arithmetic of an Ethos-U, but is none."""
        return "simulator" if format == "ethosu" else "runtime"

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        interpreter = _open(files[0], threads)
        _require_size(interpreter, spec)
        return _Session(spec, interpreter)

    def input_size(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Read the size off the only input, whichever way it lies."""
        shape = [int(side) for side in _open(files[0], 1).get_input_details()[0]["shape"]]
        if len(shape) != 4:
            return None
        height, width = shape[1:3] if shape[3] <= _MOST_COLOURS else shape[2:4]
        return width, height


def _open(path: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    # XNNPACK is the only delegate that this adds by itself; accelerators would have to be named.
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    with _quiet():
        interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the note that XNNPACK is used from standard error, where our own notes go.

    LiteRT writes it straight to file descriptor 2 and has no switch; errors come as exceptions.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _require_size(interpreter: Any, spec: ModelSpec) -> None:
    shape = [int(side) for side in interpreter.get_input_details()[0]["shape"]]
    wanted = list(spec.input_shape)
    if shape not in (wanted, [wanted[axis] for axis in (0, 2, 3, 1)]):
        raise BackendError(
            f"its input is {shape}, which does not fit {spec.width}x{spec.height} of "
            f"{spec.color}; check `input_size` and `color`"
        )


BACKEND = LiteRt()
