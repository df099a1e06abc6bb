"""Saved programs of Core ML, computed in NumPy from the file itself.

A program is a list of operations in MIL, the language of Core ML, in a protobuf file; large
constants lie in a second file. The operators of these networks are known, in the forms in which
Core ML computes them; halves are rounded to halves after each operation, their sums are not.

Formats: `coremltools/proto` (MIL.proto), and the blob storage of `coremltools/milstoragepython`:
64 bytes of its own, and where a program points 64 bytes that say type, size and place of the data.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.wire import Fields, count_fields

Array = npt.NDArray[Any]
Values = Mapping[str, Any]

_PACKAGE = "_ultraface_coreml_proto"
_SENTINEL = 0xDEADBEEF
_ENTRY = struct.Struct("<IIQQ")
# By the numbers of MIL.proto, and by those of the blob storage.
_TYPES = {10: "f2", 11: "f4", 21: "i1", 23: "i4", 31: "u1", 1: "?", 2: "U"}
_STORED = {1: "f2", 2: "f4", 3: "u1", 4: "i1"}
_CASTS = {"fp16": "f2", "fp32": "f4", "int32": "i4"}
# A damaged number must not ask for all memory.
_LARGEST_PAD = 64
_FIELDS: Fields = {
    "model": {502: "program"},
    "program": {2: "entry of function", 4: "entry of value"},
    "entry of function": {2: "function"},
    "function": {1: "named", 3: "entry of block", 4: "entry of value"},
    "entry of block": {2: "block"},
    "block": {1: "named", 3: "operation", 4: "entry of value"},
    "operation": {2: "entry of argument", 3: "named", 4: "block", 5: "entry of value"},
    "entry of argument": {2: "argument"},
    "argument": {1: "binding"},
    "binding": {2: "value"},
    "entry of value": {2: "value"},
    "named": {2: "type"},
    "type": {1: "tensor type", 2: "list type", 3: "tuple type", 4: "dictionary type", 5: "wrap"},
    "tensor type": {3: "any", 4: "entry of value"},
    "list type": {1: "type"},
    "tuple type": {1: "type"},
    "dictionary type": {1: "type", 2: "type"},
    "wrap": {1: "type"},
    "value": {2: "type", 3: "immediate", 5: "any"},
    "immediate": {1: "stored", 2: "values", 3: "values", 4: "pairs"},
    "stored": {number: "any" for number in range(1, 8)},
    "values": {1: "value"},
    "pairs": {1: "pair"},
    "pair": {1: "value", 2: "value"},
}


def messages() -> ModuleType:
    """Import the messages of coremltools without the package around them.

    That imports torch and more, and has nothing to say of a file.
    """
    if _PACKAGE not in sys.modules:
        found = find_spec("coremltools")
        assert found is not None
        assert found.submodule_search_locations is not None
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(Path(found.submodule_search_locations[0]) / "proto")]
        sys.modules[_PACKAGE] = package
    return import_module(f"{_PACKAGE}.Model_pb2")


def read_model(path: Path) -> Any:
    """Parse the protobuf file of a package.

    Raises:
        InputError: it is damaged, or no program.
    """
    Limit.MODEL.check(path)
    content = path.read_bytes()
    try:
        count_fields(content, "model", _FIELDS)
        model = messages().Model()
        model.ParseFromString(content)
    except Exception as error:  # of protobuf, whose kinds differ between its versions
        raise InputError(f"{path}: not a model of Core ML, or damaged; convert again") from error
    if not model.HasField("mlProgram"):
        raise InputError(f"{path}: not an ML program, as made for iOS 15 and later; convert again")
    return model


@dataclass(frozen=True)
class Program:
    """A program: its operations, the values known so far, and what it takes and gives."""

    operations: tuple[Any, ...]
    blobs: bytes
    given: str
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, model: Path, weights: Path) -> Program:
        """Read the two files of a package.

        Raises:
            InputError: they are damaged, or the program has several inputs.
        """
        program = read_model(model).mlProgram
        Limit.MODEL.check(weights)
        function = program.functions["main"]
        block = function.block_specializations[function.opset]
        if len(function.inputs) != 1 or not block.operations:
            raise InputError(f"{model}: a program with one input was expected")
        return cls(
            tuple(block.operations),
            weights.read_bytes(),
            function.inputs[0].name,
            tuple(block.outputs),
        )

    def run(self, tensor: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Compute the outputs by name.

        Raises:
            InputError: an operator that these networks do not have, or arguments that do not fit.
        """
        values: dict[str, Any] = {self.given: tensor}
        with np.errstate(over="ignore"):
            for operation in self.operations:
                self._compute(operation, values)
        return {name: np.asarray(values[name], np.float32) for name in self.outputs}

    def _compute(self, operation: Any, values: dict[str, Any]) -> None:
        kind = operation.type
        try:
            if kind == "const":
                results: Any = self._value(operation.attributes["val"])
            else:
                arguments = {
                    name: self._argument(argument, values)
                    for name, argument in operation.inputs.items()
                } | {
                    name: self._value(value)
                    for name, value in operation.attributes.items()
                    if name != "name"
                }
                results = _OPERATORS[kind](arguments)
        except KeyError as error:
            raise InputError(f"Core ML: {kind} with {error} is not known here") from error
        except PARSE_ERRORS as error:
            raise InputError(f"Core ML: {kind} cannot be computed ({error})") from error
        several = results if isinstance(results, list) else [results]
        for output, result in zip(operation.outputs, several, strict=True):
            wanted = _TYPES[output.type.tensorType.dataType]
            values[output.name] = result if wanted == "U" else np.asarray(result, wanted)

    def _argument(self, argument: Any, values: Values) -> Any:
        found = [
            values[each.name] if each.WhichOneof("binding") == "name" else self._value(each.value)
            for each in argument.arguments
        ]
        return found[0] if len(found) == 1 else found

    def _value(self, value: Any) -> Any:
        """A constant: in the program, or in the file of weights."""
        kind = value.type.tensorType
        dtype = _TYPES[kind.dataType]
        shape = [each.constant.size for each in kind.dimensions]
        if value.HasField("blobFileValue"):
            return self._blob(value.blobFileValue.offset, dtype).reshape(shape)
        stored = value.immediateValue.tensor
        form = stored.WhichOneof("value")
        content = getattr(stored, form).values
        if form == "strings":
            return content[0]
        if form == "bytes":
            return np.frombuffer(content, dtype).reshape(shape)
        return np.array(content, dtype).reshape(shape)

    def _blob(self, offset: int, dtype: str) -> Array:
        if offset + _ENTRY.size > len(self.blobs):
            raise ValueError("the file of weights ends before a constant")
        sentinel, kind, size, place = _ENTRY.unpack_from(self.blobs, offset)
        if sentinel != _SENTINEL or _STORED[kind] != dtype or place + size > len(self.blobs):
            raise ValueError("no constant lies where the program says")
        return np.frombuffer(self.blobs, dtype, size // np.dtype(dtype).itemsize, place)


def _conv(given: Values) -> Array:
    source, weight = given["x"], given["weight"]
    (stride_y, stride_x), (step_y, step_x) = given["strides"], given["dilations"]
    groups = int(given["groups"])
    pads = [int(each) for each in given["pad"]] if given["pad_type"] == "custom" else [0] * 4
    if given["pad_type"] not in ("custom", "valid") or max(pads) > _LARGEST_PAD or min(pads) < 0:
        raise ValueError(f"padding {given['pad_type']} {pads}")
    # Sums in single precision, whatever is summed.
    padded = np.pad(source[0].astype(np.float32), ((0, 0), tuple(pads[:2]), tuple(pads[2:])))
    weight = weight.astype(np.float32)
    high, wide = weight.shape[2:]
    rows = (padded.shape[1] - step_y * (high - 1) - 1) // stride_y + 1
    columns = (padded.shape[2] - step_x * (wide - 1) - 1) // stride_x + 1
    sums = np.zeros((groups, len(weight) // groups, rows * columns), np.float32)
    for y in range(high):
        for x in range(wide):
            seen = padded[
                :,
                y * step_y : y * step_y + stride_y * (rows - 1) + 1 : stride_y,
                x * step_x : x * step_x + stride_x * (columns - 1) + 1 : stride_x,
            ].reshape(groups, -1, rows * columns)
            part = weight[:, :, y, x].reshape(groups, -1, weight.shape[1])
            # A product of matrices of one row and column is slow.
            sums += part * seen if weight.shape[1] == 1 else part @ seen
    made: Array = sums.reshape(1, len(weight), rows, columns)
    if "bias" in given:
        made += given["bias"].astype(np.float32).reshape(1, -1, 1, 1)
    return made


def _softmax(given: Values) -> Array:
    values, axis = given["x"].astype(np.float32), int(given["axis"])
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    shares: Array = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def _reshape(given: Values) -> Array:
    shape = [int(side) for side in given["shape"]]
    return np.asarray(given["x"]).reshape(shape)


def _split(given: Values) -> list[Array]:
    ends = np.cumsum([int(each) for each in given["split_sizes"]])
    return np.split(given["x"], ends[:-1], axis=int(given["axis"]))


def _dequantized(given: Values) -> Array:
    """Integers of a weight with a scale per channel, as real numbers."""
    integers, scale = given["quantized_data"], np.asarray(given["scale"])
    zero = np.asarray(given["zero_point"]).astype(np.float32)
    shape = [1] * integers.ndim
    if scale.ndim:
        shape[int(given["axis"])] = -1
    real: Array = (integers - zero.reshape(shape)) * scale.astype(np.float32).reshape(shape)
    return real


def _pair(function: Callable[[Array, Array], Array]) -> Callable[[Values], Array]:
    return lambda given: function(given["x"], given["y"])


_OPERATORS: dict[str, Callable[[Values], Any]] = {
    "conv": _conv,
    "relu": lambda given: np.maximum(given["x"], 0),
    "softmax": _softmax,
    "transpose": lambda given: np.transpose(given["x"], [int(each) for each in given["perm"]]),
    "reshape": _reshape,
    "concat": lambda given: np.concatenate(given["values"], axis=int(given["axis"])),
    "split": _split,
    "exp": lambda given: np.exp(given["x"]),
    "add": _pair(np.add),
    "sub": _pair(np.subtract),
    "mul": _pair(np.multiply),
    "real_div": _pair(np.divide),
    "cast": lambda given: given["x"].astype(_CASTS[given["dtype"]]),
    "constexpr_affine_dequantize": _dequantized,
}
