"""Networks of Espressif's ESP-DL, computed in NumPy from the `.espdl` file itself.

All numbers are integers whose scale is a power of two: one exponent a tensor, and one a channel for
weights. A sum is exact; it is shifted to the exponent of the output, rounded half to even as the
ESP32-P4 does, and cut to 8 bits.

Format: 16 bytes that say what follows, and a FlatBuffer. Its tables are those of ONNX's messages
with exponents beside the tensors; see `fbs_loader` of https://github.com/espressif/esp-dl. The
filters of convolutions lie in blocks of 16 output channels, (N/16)HWC16, what is left as NHWC.
"""

# Tested by tests/converters/espdl/test_espdl.py.

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.safe.flatbuffer import Table
from ultraface_deploy.safe.limits import Limit

Integers = npt.NDArray[np.float64]
"""Whole numbers as doubles: their products are added exactly, and fast."""

_MAGIC = b"EDL2"
_HEADER = struct.Struct("<4sII4x")
_BLOCK = 16
_LEVELS = (-128, 127)
# By the numbers of the file's types.
_TYPES = {3: "<i1", 6: "<i4"}
_ACTIVATIONS = ("Linear", "Relu")
# A damaged number must not ask for all memory.
_LARGEST_STEP = 16
_LARGEST_EXPONENT = 64


@dataclass(frozen=True)
class Convolution:
    """A step: (N, C / groups, k, k) weights and (N,) bias as integers, and how sums are shifted.

    `shifts` (N,) are the exponents of the sums less that of the output.
    """

    source: str
    output: str
    weight: Integers
    bias: Integers
    shifts: npt.NDArray[np.int64]
    stride: int
    pad: int
    relu: bool

    def run(self, values: Integers) -> Integers:
        """Compute (N, h, w) of (C, H, W)."""
        count, per_group, side, _ = self.weight.shape
        groups = len(values) // per_group
        padded = np.pad(values, ((0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        rows, columns = ((each - side) // self.stride + 1 for each in padded.shape[1:])
        sums = np.zeros((groups, count // groups, rows * columns))
        for y in range(side):
            for x in range(side):
                seen = padded[
                    :,
                    y : y + self.stride * (rows - 1) + 1 : self.stride,
                    x : x + self.stride * (columns - 1) + 1 : self.stride,
                ].reshape(groups, per_group, rows * columns)
                part = self.weight[:, :, y, x].reshape(groups, -1, per_group)
                # A product of matrices of one row and column is slow.
                sums += part * seen if per_group == 1 else part @ seen
        made = sums.reshape(count, rows, columns) + self.bias[:, None, None]
        made = np.rint(made * np.exp2(self.shifts)[:, None, None])
        return np.clip(made, 0 if self.relu else _LEVELS[0], _LEVELS[1])


@dataclass(frozen=True)
class Program:
    """A file: its steps in order, the input, the outputs, exponents by tensor, and its remarks."""

    steps: tuple[Convolution, ...]
    given: str
    outputs: tuple[str, ...]
    exponents: Mapping[str, int]
    remarks: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Program:
        """Read a file.

        Raises:
            InputError: it is damaged, or no network of 8-bit convolutions.
        """
        Limit.MODEL.check(path)
        try:
            return cls._parse(path.read_bytes())
        except PARSE_ERRORS as error:
            raise InputError(f"{path}: not an .espdl, or damaged; convert again") from error

    @classmethod
    def _parse(cls, content: bytes) -> Program:
        head, body = content[: _HEADER.size], content[_HEADER.size :]
        if len(head) < _HEADER.size:
            raise ValueError("no head")
        magic, encrypted, size = _HEADER.unpack(head)
        if magic != _MAGIC or encrypted or size != len(body):
            raise ValueError("another kind of file")
        model = Table.root(body)
        graph = model.table(7)
        constants = {each.text(6): each for each in graph.tables(2)}
        exponents = {
            each.text(0): int(_exponents(each.array(3, "<i8"))[0])
            for field in (4, 5, 6)
            for each in graph.tables(field)
        }
        (given,) = (each.text(0) for each in graph.tables(4))
        return cls(
            tuple(_convolution(node, constants, exponents) for node in graph.tables(0)),
            given,
            tuple(each.text(0) for each in graph.tables(5)),
            exponents,
            {each.text(0): each.text(1) for each in model.tables(8)},
        )

    def run(self, tensor: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Compute the outputs (1, C, h, w) by name of (1, 3, H, W).

        Raises:
            InputError: the steps do not fit together.
        """
        real = np.ldexp(tensor[0].astype(np.float64), -self.exponents[self.given])
        values = {self.given: np.clip(np.rint(real), *_LEVELS)}
        try:
            for step in self.steps:
                values[step.output] = step.run(values[step.source])
            return {
                name: np.ldexp(values[name][None], self.exponents[name]).astype(np.float32)
                for name in self.outputs
            }
        except PARSE_ERRORS as error:
            raise InputError(f"ESP-DL: a step does not fit those before it ({error})") from error


def _convolution(
    node: Table, constants: Mapping[str, Table], exponents: Mapping[str, int]
) -> Convolution:
    kind, named = node.text(3), {each.text(0): each for each in node.tables(5)}
    said = {name: each.array(6, "u1").tobytes().decode() for name, each in named.items()}
    if kind != "Conv" or said["quant_type"] != "S8" or said["activation"] not in _ACTIVATIONS:
        raise ValueError(f"{kind}: not a convolution in 8 bits")
    source, filters, shift = node.texts(0)
    (output,) = node.texts(1)
    weight = _filters(constants[filters], named["group"].number(5, "q"))
    # What the sums are in; one exponent for all channels, or one for each.
    sums_at = exponents[source] + _exponents(constants[filters].array(13, "<i8"))
    if _same(named["dilations"]) != 1:
        raise ValueError("a dilated convolution")
    return Convolution(
        source,
        output,
        weight,
        _numbers(constants[shift], len(weight)),
        np.broadcast_to(sums_at - exponents[output], len(weight)),
        _same(named["strides"]),
        _same(named["pads"]),
        said["activation"] == "Relu",
    )


def _exponents(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if np.abs(values).max() > _LARGEST_EXPONENT:
        raise ValueError("an exponent that no network has")
    return values


def _filters(tensor: Table, groups: int) -> Integers:
    """Return weights as (N, C / groups, k, k), which the file states as (k, k, C, N)."""
    high, wide, *channels = (int(each) for each in tensor.array(0, "<i8"))
    inner, count = channels if groups == 1 else reversed(channels)
    if high != wide or (groups not in (1, count)) or inner * count * high < 1:
        raise ValueError("filters of another shape")
    stored = _numbers(tensor, count * inner * high * wide)
    even = count // _BLOCK * _BLOCK
    cut = even * inner * high * wide
    blocks = stored[:cut].reshape(even // _BLOCK, high, wide, inner, _BLOCK)
    made = blocks.transpose(0, 4, 3, 1, 2).reshape(even, inner, high, wide)
    if groups == 1:
        rest = stored[cut:].reshape(-1, high, wide, inner).transpose(0, 3, 1, 2)
    else:
        rest = stored[cut:].reshape(inner, high, wide, -1).transpose(3, 0, 1, 2)
    return np.concatenate([made, rest])


def _numbers(tensor: Table, count: int) -> Integers:
    """Return the integers of a constant; what fills the last 16 bytes is left out."""
    stored = tensor.array(8, _TYPES[tensor.number(1)], width=_BLOCK)
    if not count <= len(stored) < count + _BLOCK:
        raise ValueError("a constant of another size")
    return stored[:count].astype(np.float64)


def _same(attribute: Table) -> int:
    """Return the number that all numbers of an attribute are."""
    (value,) = set(attribute.array(11, "<i8").tolist())
    if not 0 <= value <= _LARGEST_STEP:
        raise ValueError(f"a step of {value}")
    return int(value)
