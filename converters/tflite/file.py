"""A TensorFlow Lite file as it grows: tensors, operators, and how they become bytes.

The layout is that of TensorFlow's schema.fbs, whose classes for Python the ai-edge-litert wheel
carries; no TensorFlow is needed to write it.
"""

# Tested by tests/converters/tflite/test_translate.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

_VERSION = 3
_IDENTIFIER = b"TFL3"
# Runtimes on Arm read weights in vectors, and tflite-micro refuses what lies otherwise.
_ALIGNMENT = 16
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Quantization:
    """What the integers of a tensor mean: `value = scale * (integer - zero)`.

    One scale, or one for each index along `dimension`, all with the same zero.
    """

    scales: tuple[float, ...]
    zero: int = 0
    dimension: int = 0


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file by its place there."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quantization: Quantization | None = None


class TfliteFile:
    """One network under construction."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        # By convention the first buffer is empty: it is that of tensors which are computed.
        self._buffers: list[Any] = [_buffer(b"")]
        self._metadata: list[Any] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: npt.DTypeLike,
        quantization: Quantization | None = None,
    ) -> Tensor:
        """Add a tensor that is computed, or given by the caller."""
        return self._add(name, tuple(shape), np.dtype(dtype), quantization, buffer=0)

    def constant(
        self, name: str, values: Array, quantization: Quantization | None = None
    ) -> Tensor:
        """Add a tensor that is stored; `values` are float32, float16, int8 or int32."""
        values = np.ascontiguousarray(values)
        self._buffers.append(_buffer(values.tobytes()))
        place = len(self._buffers) - 1
        return self._add(name, values.shape, values.dtype, quantization, buffer=place)

    def operator(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        output: Tensor,
        options: Mapping[str, Any] | None = None,
        version: int = 1,
    ) -> None:
        """Add an operator.

        Args:
            kind: its name in schema.fbs, for example `DEPTHWISE_CONV_2D`.
            inputs: in the order of the schema.
            output: its only output.
            options: the name of its options' class as `table`, and their fields.
            version: the lowest version of the operator that takes these types.
        """
        code = getattr(schema.BuiltinOperator, kind)
        added = schema.OperatorT()
        added.opcodeIndex = self._codes.setdefault((code, version), len(self._codes))
        added.inputs = [tensor.index for tensor in inputs]
        added.outputs = [output.index]
        if options is not None:
            fields = dict(options)
            table = fields.pop("table")
            added.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            added.builtinOptions = getattr(schema, f"{table}T")()
            for name, value in fields.items():
                setattr(added.builtinOptions, name, value)
        self._operators.append(added)

    def metadata(self, name: str, content: bytes) -> None:
        """Attach bytes that runtimes pass over, unless they know the name."""
        self._buffers.append(_buffer(content))
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(self._buffers) - 1
        self._metadata.append(entry)

    def content(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], description: str
    ) -> bytes:
        """Return the file; `inputs` and `outputs` get a signature of their names."""
        graph = schema.SubGraphT()
        graph.name = "main"
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs = [tensor.index for tensor in inputs]
        graph.outputs = [tensor.index for tensor in outputs]
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [_named(tensor) for tensor in inputs]
        signature.outputs = [_named(tensor) for tensor in outputs]
        model = schema.ModelT()
        model.version, model.description = _VERSION, description
        model.operatorCodes = [_operator_code(*key) for key in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        model.metadata, model.signatureDefs = self._metadata, [signature]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _add(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        quantization: Quantization | None,
        buffer: int,
    ) -> Tensor:
        added = schema.TensorT()
        added.name, added.shape, added.buffer = name, list(shape), buffer
        added.type = _TYPES[dtype]
        if quantization is not None:
            count = len(quantization.scales)
            added.quantization = schema.QuantizationParametersT()
            added.quantization.scale = np.array(quantization.scales, np.float32)
            added.quantization.zeroPoint = np.full(count, quantization.zero, np.int64)
            added.quantization.quantizedDimension = quantization.dimension
        self._tensors.append(added)
        return Tensor(len(self._tensors) - 1, name, shape, dtype, quantization)


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer at a multiple of 16 bytes, which the generated class does not see to."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the generated name
        if not self.data:
            schema.BufferStart(builder)
            return schema.BufferEnd(builder)
        builder.StartVector(1, len(self.data), _ALIGNMENT)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _buffer(content: bytes) -> Any:
    buffer = _AlignedBuffer()
    buffer.data = content
    return buffer


def _named(tensor: Tensor) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = tensor.name, tensor.index
    return entry


def _operator_code(code: int, version: int) -> Any:
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.version = code, version
    # Old readers know this field alone; it holds a byte.
    entry.deprecatedBuiltinCode = min(code, 127)
    return entry
