"""A network of TensorFlow Lite while it is translated: its tensors, by their names in ONNX."""

# Tested by tests/converters/tflite/test_translate.py.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ultraface_deploy.converters.onnx.walk import Graph
from ultraface_deploy.converters.tflite.file import Quantization, Tensor, TfliteFile

TO_NHWC = (0, 2, 3, 1)
_NO_ACTIVATION, _RELU = 0, 1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class QuantizedWeights:
    """A convolution's weights (out, in / groups, k, k) int8, a scale per output, FP32 bias."""

    weight: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Numbers:
    """How the numbers of a file are stored; the default is FP32 throughout.

    Attributes:
        half: weights in FP16.
        layers: by name the convolutions that compute in INT8.
        tensors: what the integers of a tensor mean, for those that may be INT8.
        integer_tail: whether what follows the convolutions, and the outputs, are INT8 as well.
    """

    half: bool = False
    layers: Mapping[str, QuantizedWeights] = field(default_factory=dict)
    tensors: Mapping[str, Quantization] = field(default_factory=dict)
    integer_tail: bool = False


@dataclass
class Network:
    """The translation as it grows; `values` are the tensors by their names in ONNX."""

    graph: Graph
    numbers: Numbers
    fused: dict[str, str]
    """Output of a ReLU that is part of a convolution or sum -> output of that operator."""
    channels_last: set[str]
    """Feature maps that were NCHW in ONNX."""
    file: TfliteFile = field(default_factory=TfliteFile)
    values: dict[str, Tensor] = field(default_factory=dict)
    casts: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, numbers: Numbers) -> Network:
        """Begin with the input, and know which ReLUs become parts of what precedes them."""
        fusing = {node.output[0] for node in graph.nodes if node.op_type in ("Conv", "Add")}
        fused = {
            node.output[0]: node.input[0]
            for node in graph.nodes
            if node.op_type == "Relu"
            and node.input[0] in fusing
            and graph.only_reader(node.input[0]) is not None
        }
        (given,) = graph.inputs
        network = cls(graph, numbers, fused, {given} if len(graph.shape(given)) == 4 else set())
        network.make(given, integer=bool(numbers.layers))
        return network

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape as TensorFlow Lite lays it out."""
        shape = self.graph.shape(name)
        return tuple(shape[axis] for axis in TO_NHWC) if name in self.channels_last else shape

    def make(self, name: str, integer: bool, quantization: Quantization | None = None) -> Tensor:
        """Add the tensor that an operator writes; INT8 ones need their numbers from somewhere."""
        if integer:
            quantization = quantization or self.numbers.tensors[name]
        self.values[name] = self.file.tensor(
            name,
            self.shape(name),
            np.int8 if integer else np.float32,
            quantization if integer else None,
        )
        return self.values[name]

    def constant(self, name: str) -> Tensor:
        """Add a constant once."""
        if name not in self.values:
            stored = self.graph.constants[name].astype(np.float32)
            self.values[name] = self.file.constant(name, stored)
        return self.values[name]

    def as_float(self, name: str) -> Tensor:
        """The tensor in FP32, converted once where it is INT8."""
        if name in self.graph.constants:
            return self.constant(name)
        return self._cast(name, np.float32, None, "DEQUANTIZE", version=2)

    def as_int8(self, name: str) -> Tensor:
        """The tensor in INT8, converted once where it is FP32."""
        return self._cast(name, np.int8, self.numbers.tensors.get(name), "QUANTIZE", version=1)

    def is_int8(self, name: str) -> bool:
        """Whether a tensor that is there already is INT8."""
        return name in self.values and self.values[name].dtype == np.int8

    def result(self, name: str) -> Tensor:
        """An output of the network."""
        return self.values[name] if self.numbers.integer_tail else self.as_float(name)

    def _cast(
        self,
        name: str,
        dtype: npt.DTypeLike,
        quantization: Quantization | None,
        operator: str,
        version: int,
    ) -> Tensor:
        source = self.values[name]
        if source.dtype == np.dtype(dtype):
            return source
        if (name, operator) not in self.casts:
            cast = self.file.tensor(f"{name}/{operator.lower()}", source.shape, dtype, quantization)
            options = {"table": f"{operator.capitalize()}Options"}
            self.file.operator(operator, [source], cast, options, version)
            self.casts[name, operator] = cast
        return self.casts[name, operator]

    def activated(self, node: onnx.NodeProto) -> tuple[str, int]:
        """The tensor that an operator writes with the ReLU after it, and that ReLU."""
        after = next((out for out, inner in self.fused.items() if inner == node.output[0]), None)
        return (node.output[0], _NO_ACTIVATION) if after is None else (after, _RELU)

    def weights(self, name: str, values: Array) -> Tensor:
        """Add weights, in FP16 with the operator that widens them where that is wanted."""
        if not self.numbers.half:
            return self.file.constant(name, values.astype(np.float32))
        stored = self.file.constant(f"{name}/half", values.astype(np.float16))
        wide = self.file.tensor(name, stored.shape, np.float32)
        self.file.operator("DEQUANTIZE", [stored], wide, {"table": "DequantizeOptions"}, version=3)
        return wide
