"""Reading and writing ncnn's `.param`, `.bin` and `.table` files, as far as INT8 needs them."""

# Tested by tests/converters/ncnn/test_int8.py.

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import read_text, require_file
from ultraface_deploy.safe.kinds import MAKE_AGAIN, damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import reason

MAGIC = "7767517"
TAG_FP32 = 0
TAG_FP16 = 0x01306B47
TAG_INT8 = 0x000D4B38
CONVOLUTIONS = frozenset({"Convolution", "ConvolutionDepthWise"})

# Numbers of the convolutions' parameters (docs/developer-guide/operators.md of ncnn).
BIAS_TERM, _WEIGHT_SIZE, INT8_SCALE_TERM = "5", "6", "8"
# A large network has 30 kB; as objects, lines take about a hundred times their size.
_MOST_PARAM_BYTES = 4 << 20
# Width, height, depth and channels of a constant.
_MEMORY_SIDES = ("0", "1", "11", "2")
# -23300 less the number 10 says that an array follows.
ACTIVATION_TYPE, ACTIVATION_PARAMETERS = "9", "-23310"
RELU, CLIP = "1", "3"


@dataclass(frozen=True)
class ParamLine:
    """One layer of a `.param` file; `parameters` keeps the order of the file."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, str]

    @property
    def is_convolution(self) -> bool:
        """Whether the layer has weights that can become INT8."""
        return self.type in CONVOLUTIONS

    @property
    def has_weights(self) -> bool:
        """Whether the layer has weights that ncnn reads in halves or in INT8 too."""
        return self.is_convolution or self.type == "InnerProduct"

    def with_parameter(self, key: str, value: str) -> ParamLine:
        """Return the layer with one parameter set."""
        return replace(self, parameters={**self.parameters, key: value})

    def __str__(self) -> str:
        counts = f"{len(self.inputs)} {len(self.outputs)}"
        words = [*self.inputs, *self.outputs, *(f"{k}={v}" for k, v in self.parameters.items())]
        return " ".join([f"{self.type:<24} {self.name:<24} {counts}", *words])


@dataclass(frozen=True)
class Weights:
    """What a `.bin` file holds for one convolution: (size,) weights and (out,) bias."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def read_param(path: Path) -> list[ParamLine]:
    """Read the layers of a `.param` file.

    Raises:
        InputError: no such file, or not ncnn's text format.
    """
    require_file(path, "ncnn .param file")
    if path.stat().st_size > _MOST_PARAM_BYTES:
        raise InputError(
            f"{path}: larger than {_MOST_PARAM_BYTES >> 20} MiB; this is not a network's .param"
        )
    try:
        magic, counts, *lines = path.read_text().splitlines()
        layers = [_parse_line(line) for line in lines if line.strip()]
        if magic.strip() != MAGIC or len(layers) != int(counts.split()[0]):
            raise ValueError("wrong magic number or layer count")
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {damaged(path, 'ncnn .param file', error)}") from error
    return layers


def input_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of the Input layer, None where it states none.

    Raises:
        InputError: no such file, or not ncnn's text format.
    """
    for layer in read_param(path):
        sides = layer.parameters.get("0", ""), layer.parameters.get("1", "")
        if layer.type == "Input" and all(side.isdecimal() for side in sides):
            return int(sides[0]), int(sides[1])
    return None


def stored_precision(files: Sequence[Path]) -> Precision:
    """Return how a pair of files is stored: INT8 by its layers, halves by the mark of its weights.

    Raises:
        InputError: the `.param` is missing, or not ncnn's text format.
    """
    layers = read_param(files[0])
    if any(each.parameters.get(INT8_SCALE_TERM, "0") != "0" for each in layers if each.has_weights):
        return "int8"
    before = takewhile(lambda layer: not layer.has_weights, layers)
    try:
        with files[1].open("rb") as stream:
            stream.seek(4 * sum(_stored_floats(layer)[0] for layer in before))
            mark = stream.read(4)
    except (ValueError, OSError, OverflowError) as error:
        raise InputError(f"{files[1]}: {damaged(files[1], 'ncnn .bin file', error)}") from error
    return "fp16" if mark == struct.pack("<I", TAG_FP16) else "fp32"


def write_param(layers: Sequence[ParamLine]) -> str:
    """Return the text of a `.param` file."""
    blobs = sum(len(layer.outputs) for layer in layers)
    return "\n".join([MAGIC, f"{len(layers)} {blobs}", *map(str, layers)]) + "\n"


def read_weights(
    layers: Sequence[ParamLine], path: Path
) -> tuple[dict[str, Weights], dict[str, bytes]]:
    """Read the FP32 weights of a `.bin` file, and its constants as they stand, by layer name.

    Raises:
        InputError: no such file, other precision than FP32, or not this `.param` file's.
    """
    require_file(path, "ncnn .bin file")
    content = path.read_bytes()
    if len(content) % 4:
        raise InputError(f"{path}: not an ncnn .bin file of FP32; convert to ncnn again")
    words = np.frombuffer(content, dtype="<u4")
    weights: dict[str, Weights] = {}
    constants: dict[str, bytes] = {}
    at = 0
    for layer in layers:
        try:
            size, bias = _stored_floats(layer)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{path}: the size of {layer.name} cannot be read; {MAKE_AGAIN}"
            ) from error
        start = at + layer.is_convolution
        end = start + size + bias
        if end > len(words) or (layer.is_convolution and words[at] != TAG_FP32):
            raise InputError(f"{path}: {layer.name} is not stored in FP32; convert to ncnn again")
        values = words[start:end].view("<f4")
        if layer.is_convolution:
            missing = np.zeros(int(layer.parameters["0"]) - bias, np.float32)
            weights[layer.name] = Weights(values[:size], np.append(values[size:], missing))
        elif size:
            constants[layer.name] = values.tobytes()
        at = end
    if at != len(words):
        raise InputError(f"{path}: does not belong to its .param file; convert to ncnn again")
    return weights, constants


def _stored_floats(layer: ParamLine) -> tuple[int, int]:
    """How many floats of weights (or constants) and of bias a layer has in the `.bin` file."""
    sizes = layer.parameters
    if layer.is_convolution:
        size, channels = int(sizes[_WEIGHT_SIZE]), int(sizes["0"])
        if not 0 < channels <= size:
            raise ValueError(f"{channels} channels of {size} weights")
        return size, channels * (sizes.get(BIAS_TERM) == "1")
    if layer.type == "MemoryData":
        sides = [int(sizes.get(key, 0)) for key in _MEMORY_SIDES]
        return math.prod(side for side in sides if side), 0
    return 0, 0


def pack_fp32(weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> bytes:
    """Return a convolution's part of a `.bin` file in FP32."""
    return struct.pack("<I", TAG_FP32) + _floats(weight) + _floats(bias)


def pack_fp16(weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> bytes:
    """Return a convolution's part of a `.bin` file with weights in half, which load as FP32."""
    halves = weight.astype("<f2").tobytes()
    halves += b"\0" * (-len(halves) % 4)
    return struct.pack("<I", TAG_FP16) + halves + _floats(bias)


def pack_int8(
    weight: npt.NDArray[np.int8],
    bias: npt.NDArray[np.float32],
    weight_scales: npt.NDArray[np.float32],
    input_scale: float,
) -> bytes:
    """Return a convolution's part of a `.bin` file in INT8.

    ncnn's scales multiply: integer = round(value * scale), so a scale is 127 / threshold.
    """
    integers = weight.astype(np.int8).tobytes()
    integers += b"\0" * (-len(integers) % 4)
    scales = _floats(weight_scales) + _floats(np.array([input_scale], np.float32))
    return struct.pack("<I", TAG_INT8) + integers + _floats(bias) + scales


@dataclass(frozen=True)
class TableRow:
    """Scales of one layer in a `.table` file: per output channel, and of the input."""

    weight_scales: tuple[float, ...]
    input_scale: float


def read_table(path: Path) -> dict[str, TableRow]:
    """Read a calibration table as `ncnn2table` writes it, by layer name.

    Raises:
        InputError: no such file, or not that format.
    """
    require_file(path, "ncnn .table file", Limit.TEXT)
    weights: dict[str, tuple[float, ...]] = {}
    inputs: dict[str, float] = {}
    try:
        for name, *numbers in _table_lines(path):
            scales = tuple(float(number) for number in numbers)
            if name.endswith("_param_0"):
                weights[name.removesuffix("_param_0")] = scales
            else:
                (inputs[name],) = scales
        return {name: TableRow(weights[name], inputs[name]) for name in inputs}
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: {damaged(path, 'ncnn .table file', reason(error))}") from error


def write_table(rows: dict[str, TableRow]) -> str:
    """Return the text of a calibration table that `ncnn2int8` reads: all weights, then inputs."""
    weights = [
        f"{name}_param_0 {' '.join(f'{scale:.9g}' for scale in row.weight_scales)}"
        for name, row in rows.items()
    ]
    inputs = [f"{name} {row.input_scale:.9g}" for name, row in rows.items()]
    return "\n".join([*weights, *inputs]) + "\n"


def _table_lines(path: Path) -> Iterator[list[str]]:
    for line in read_text(path).splitlines():
        if line.strip():
            yield line.split()


def _parse_line(line: str) -> ParamLine:
    if len(line.split()) < 4:
        raise ValueError(f"a line says no more than {line.strip()[:40]!r}")
    kind, name, inputs, outputs, *words = line.split()
    split, end = int(inputs), int(inputs) + int(outputs)
    if end > len(words):
        raise ValueError(f"layer {name} has too few blobs")
    parameters = dict(word.split("=", 1) for word in words[end:])
    return ParamLine(kind, name, tuple(words[:split]), tuple(words[split:end]), parameters)


def _floats(values: npt.NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()
