"""Simplified ONNX -> the operators of TensorFlow Lite, in FP32, FP16 or INT8.

Feature maps are NCHW in ONNX and NHWC in TensorFlow Lite: weights are turned once, here, and the
transposes before the heads' reshapes vanish. Knows the operators of these networks, raw and
decoded; others are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ultraface_deploy.converters.onnx.walk import Graph, attributes
from ultraface_deploy.converters.tflite.file import Quantization, Tensor, TfliteFile
from ultraface_deploy.errors import InputError

_TO_NHWC = (0, 2, 3, 1)
_COLOURS = 3
_NO_ACTIVATION, _RELU = 0, 1
_SAME, _VALID = 0, 1
_BINARY = {"Add": "AddOptions", "Sub": "SubOptions", "Mul": "MulOptions", "Div": "DivOptions"}
# LOGISTIC writes INT8 in these numbers alone: 0..255/256 (TFLite's quantization specification).
_LOGISTIC = Quantization((1 / 256,), -128)

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


def translate(
    model: onnx.ModelProto,
    numbers: Numbers,
    metadata: Mapping[str, bytes],
    description: str,
) -> bytes:
    """Return the `.tflite` file of a simplified network of fixed shapes, batch 1.

    Raises:
        InputError: an operator has no translation here; says which and where.
    """
    network = _Network.of(Graph(model), numbers)
    for node in network.graph.nodes:
        if node.output[0] not in network.fused:
            network.translate(node)
    for name, content in metadata.items():
        network.file.metadata(name, content)
    return network.file.content(
        [network.values[value.name] for value in model.graph.input],
        [network.result(value.name) for value in model.graph.output],
        description,
    )


@dataclass
class _Network:
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
    def of(cls, graph: Graph, numbers: Numbers) -> _Network:
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

    def translate(self, node: onnx.NodeProto) -> None:
        translator = _TRANSLATORS.get(node.op_type)
        if translator is None:
            raise InputError(
                f"tflite: operator {node.op_type} at node {node.name} has no translation here"
            )
        translator(self, node)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape as TensorFlow Lite lays it out."""
        shape = self.graph.shape(name)
        return tuple(shape[axis] for axis in _TO_NHWC) if name in self.channels_last else shape

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


@dataclass(frozen=True)
class _Window:
    """Where a convolution's kernel goes, per axis (vertical, horizontal)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    source: tuple[int, int]

    @classmethod
    def of(cls, node: onnx.NodeProto, kernel: Sequence[int], source: Sequence[int]) -> _Window:
        given = attributes(node)
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        return cls(
            (kernel[0], kernel[1]),
            tuple(given.get("strides", (1, 1))),
            tuple(given.get("dilations", (1, 1))),
            (top, left),
            (bottom, right),
            (source[0], source[1]),
        )

    @property
    def pairs_pay(self) -> bool:
        """Whether this is a 3x3 kernel at a stride of 2 over a map of even width."""
        plain = self.kernel == (3, 3) and self.stride == (2, 2) and self.dilation == (1, 1)
        return plain and self.before == (1, 1) and self.source[1] % 2 == 0

    def of_pairs(self) -> _Window:
        """The same convolution over pairs of pixels; see `_by_pairs`."""
        return replace(
            self,
            kernel=(3, 2),
            stride=(2, 1),
            after=(self.after[0], 0),
            source=(self.source[0], self.source[1] // 2),
        )

    def padding(self) -> tuple[int, list[list[int]] | None]:
        """The scheme, and what is to be padded by hand, [[top, bottom], [left, right]].

        SAME pads as little as it can, and the odd row goes behind; torch pads both sides alike,
        so that at a stride of 2 the two differ by one row. What torch pads and no window reaches
        is left out.
        """
        before, needed = [], []
        same = True
        for axis in range(2):
            reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            room = self.source[axis] + self.before[axis] + self.after[axis] - reach
            outputs = room // self.stride[axis] + 1
            total = (outputs - 1) * self.stride[axis] + reach - self.source[axis]
            before.append(self.before[axis])
            needed.append(max(total - self.before[axis], 0))
            fewest = -(-self.source[axis] // self.stride[axis])
            same &= outputs == fewest and max(total, 0) // 2 == self.before[axis]
        if same:
            return _SAME, None
        pairs = [[first, last] for first, last in zip(before, needed, strict=True)]
        return _VALID, pairs if any(map(any, pairs)) else None


def _conv(network: _Network, node: onnx.NodeProto) -> None:
    quantized = network.numbers.layers.get(node.name)
    weight = network.graph.constants[node.input[1]] if quantized is None else quantized.weight
    groups = int(attributes(node).get("group", 1))
    depthwise = groups > 1 and weight.shape[1] == 1
    if groups > 1 and not depthwise:
        raise InputError(f"tflite: node {node.name} has {groups} groups of several channels")
    window = _Window.of(node, weight.shape[2:], network.graph.shape(node.input[0])[2:])
    source = (
        network.as_float(node.input[0]) if quantized is None else network.as_int8(node.input[0])
    )
    # OHWI, and [1, h, w, C] for depthwise.
    turned = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    if quantized is not None and window.pairs_pay and turned.shape[3] == _COLOURS:
        source, turned, window = _by_pairs(network, source, turned, window)
    scheme, pads = window.padding()
    if pads is not None:
        source = _padded(network, node, source, pads)
    name, activation = network.activated(node)
    network.channels_last.add(name)
    options = {
        "table": "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
        "padding": scheme,
        "strideH": window.stride[0],
        "strideW": window.stride[1],
        "dilationHFactor": window.dilation[0],
        "dilationWFactor": window.dilation[1],
        "fusedActivationFunction": activation,
    }
    if depthwise:
        options["depthMultiplier"] = weight.shape[0] // groups
    if quantized is None:
        given = node.input[2:]
        bias = network.graph.constants[given[0]] if given else np.zeros(len(weight))
        parameters = [network.weights(f"{node.name}.weight", turned)]
        parameters.append(network.weights(f"{node.name}.bias", bias))
        version = 2 if depthwise and max(window.dilation) > 1 else 1
    else:
        parameters = _integer_parameters(network, node.name, quantized, turned, source, depthwise)
        version = 3
    target = network.make(name, integer=quantized is not None)
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    network.file.operator(kind, [source, *parameters], target, options, version)


def _by_pairs(
    network: _Network, source: Tensor, weight: Array, window: _Window
) -> tuple[Tensor, Array, _Window]:
    """Read the picture as pairs of pixels: half as wide, six channels, the same bytes.

    XNNPACK pads each tap of three colours to eight bytes. A 3x3 kernel at a stride of 2 reaches
    over two pairs, the first pixel of the first with weight zero: six taps in place of nine.
    """
    batch, height, width, colours = source.shape
    paired = network.file.tensor(
        f"{source.name}/pairs",
        (batch, height, width // 2, 2 * colours),
        source.dtype,
        source.quantization,
    )
    shape = network.file.constant(f"{paired.name}/shape", np.array(paired.shape, np.int32))
    options = {"table": "ReshapeOptions", "newShape": list(paired.shape)}
    network.file.operator("RESHAPE", [source, shape], paired, options)
    outputs = len(weight)
    wide = np.zeros((outputs, 3, 4, colours), weight.dtype)
    wide[:, :, 1:] = weight
    folded = wide.reshape(outputs, 3, 2, 2 * colours)
    return paired, folded, window.of_pairs()


def _integer_parameters(
    network: _Network,
    name: str,
    quantized: QuantizedWeights,
    turned: npt.NDArray[np.int8],
    source: Tensor,
    depthwise: bool,
) -> list[Tensor]:
    """Weights and bias in integers; the bias has the scale of the products it is added to."""
    assert source.quantization is not None
    scales = quantized.scales.astype(np.float32)
    products = scales * np.float32(source.quantization.scales[0])
    steps = np.rint(quantized.bias.astype(np.float64) / products)
    bias = np.clip(steps, -(2**31), 2**31 - 1).astype(np.int32)
    along = Quantization(tuple(map(float, scales)), 0, 3 if depthwise else 0)
    return [
        network.file.constant(f"{name}.weight", turned, along),
        network.file.constant(f"{name}.bias", bias, Quantization(tuple(map(float, products)))),
    ]


def _padded(
    network: _Network, node: onnx.NodeProto, source: Tensor, pads: list[list[int]]
) -> Tensor:
    (top, bottom), (left, right) = pads
    batch, height, width, channels = source.shape
    shape = (batch, height + top + bottom, width + left + right, channels)
    padded = network.file.tensor(f"{node.name}/pad", shape, source.dtype, source.quantization)
    amounts = np.array([[0, 0], *pads, [0, 0]], np.int32)
    inputs = [source, network.file.constant(f"{node.name}/pads", amounts)]
    version = 1 if source.quantization is None else 2
    network.file.operator("PAD", inputs, padded, {"table": "PadOptions"}, version)
    return padded


def _binary(network: _Network, node: onnx.NodeProto) -> None:
    name, activation = network.activated(node)
    integer = (
        node.op_type == "Add"
        and name in network.numbers.tensors
        and all(network.is_int8(each) for each in node.input)
    )
    maps = [each for each in node.input if each in network.channels_last]
    if maps and any(each in network.graph.constants for each in node.input):
        raise InputError(f"tflite: node {node.name} computes a feature map with a constant")
    network.channels_last.update([name] if maps else [])
    inputs = [network.values[e] if integer else network.as_float(e) for e in node.input]
    options = {"table": _BINARY[node.op_type], "fusedActivationFunction": activation}
    target = network.make(name, integer)
    version = 2 if integer else 1
    network.file.operator(node.op_type.upper(), inputs, target, options, version)


def _concat(network: _Network, node: onnx.NodeProto) -> None:
    """In INT8 where all parts have the same numbers, which the kernels ask for."""
    axis = int(attributes(node)["axis"]) % len(network.graph.shape(node.output[0]))
    maps = {name in network.channels_last for name in node.input}
    if len(maps) > 1:
        raise InputError(f"tflite: node {node.name} joins feature maps with something else")
    (last,) = maps
    network.channels_last.update(node.output if last else ())
    axis = _TO_NHWC.index(axis) if last else axis
    parts = [network.values.get(name) for name in node.input]
    numbers = {part.quantization for part in parts if part is not None}
    integer = all(network.is_int8(name) for name in node.input) and len(numbers) == 1
    inputs = [network.values[e] if integer else network.as_float(e) for e in node.input]
    target = network.make(node.output[0], integer, next(iter(numbers)) if integer else None)
    options = {"table": "ConcatenationOptions", "axis": axis, "fusedActivationFunction": 0}
    network.file.operator("CONCATENATION", inputs, target, options, 2 if integer else 1)


def _transpose(network: _Network, node: onnx.NodeProto) -> None:
    """To channels last, which is how the tensor lies already: the result is the same tensor."""
    source = node.input[0]
    if tuple(attributes(node)["perm"]) != _TO_NHWC or source not in network.channels_last:
        raise InputError(f"tflite: node {node.name} transposes otherwise than to channels last")
    network.values[node.output[0]] = network.values[source]


def _reshape(network: _Network, node: onnx.NodeProto) -> None:
    if node.input[0] in network.channels_last:
        raise InputError(f"tflite: node {node.name} reshapes a map whose channels come first")
    integer = network.numbers.integer_tail and network.is_int8(node.input[0])
    source = network.values[node.input[0]] if integer else network.as_float(node.input[0])
    target = network.make(node.output[0], integer, source.quantization)
    sides = network.graph.shape(node.output[0])
    shape = network.file.constant(f"{node.name}/shape", np.array(sides, np.int32))
    options = {"table": "ReshapeOptions", "newShape": list(sides)}
    network.file.operator("RESHAPE", [source, shape], target, options)


def _softmax(network: _Network, node: onnx.NodeProto) -> None:
    sides = network.graph.shape(node.input[0])
    if int(attributes(node).get("axis", -1)) % len(sides) != len(sides) - 1:
        raise InputError(f"tflite: node {node.name} is a softmax along another axis than the last")
    _scores(network, node, "SOFTMAX", {"table": "SoftmaxOptions", "beta": 1.0})


def _scores(
    network: _Network, node: onnx.NodeProto, kind: str, options: Mapping[str, Any] | None
) -> None:
    integer = network.numbers.integer_tail and network.is_int8(node.input[0])
    source = network.values[node.input[0]] if integer else network.as_float(node.input[0])
    target = network.make(node.output[0], integer, _LOGISTIC)
    network.file.operator(kind, [source], target, options, 2 if integer else 1)


def _exp(network: _Network, node: onnx.NodeProto) -> None:
    source, target = network.as_float(node.input[0]), network.make(node.output[0], integer=False)
    network.file.operator("EXP", [source], target, {"table": "ExpOptions"})


def _relu(network: _Network, node: onnx.NodeProto) -> None:
    source = network.as_float(node.input[0])
    network.channels_last.update(node.output if node.input[0] in network.channels_last else ())
    network.file.operator("RELU", [source], network.make(node.output[0], integer=False))


def _split(network: _Network, node: onnx.NodeProto) -> None:
    axis = int(attributes(node).get("axis", 0)) % len(network.graph.shape(node.input[0]))
    start = 0
    for name in node.output:
        starts = [0] * len(network.graph.shape(name))
        starts[axis] = start
        _cut(network, node, name, starts)
        start += network.graph.shape(name)[axis]


def _slice(network: _Network, node: onnx.NodeProto) -> None:
    sides = network.graph.shape(node.input[0])
    if given := attributes(node):  # before opset 10
        starts, axes, steps = given["starts"], given["axes"], [1]
    else:
        starts, _, axes = (network.graph.constants[name].tolist() for name in node.input[1:4])
        steps = network.graph.constants[node.input[4]].tolist() if len(node.input) > 4 else [1]
    if set(steps) != {1}:
        raise InputError(f"tflite: node {node.name} slices with steps")
    first = [0] * len(sides)
    for start, axis in zip(starts, axes, strict=True):
        first[axis] = start if start >= 0 else start + sides[axis]
    # The output's shape says how much is taken.
    _cut(network, node, node.output[0], first)


def _cut(network: _Network, node: onnx.NodeProto, output: str, starts: Sequence[int]) -> None:
    if node.input[0] in network.channels_last:
        raise InputError(f"tflite: node {node.name} cuts a feature map")
    begin = network.file.constant(f"{output}/begin", np.array(starts, np.int32))
    size = network.file.constant(f"{output}/size", np.array(network.graph.shape(output), np.int32))
    inputs = [network.as_float(node.input[0]), begin, size]
    network.file.operator(
        "SLICE", inputs, network.make(output, integer=False), {"table": "SliceOptions"}
    )


_TRANSLATORS: dict[str, Callable[[_Network, onnx.NodeProto], None]] = {
    "Conv": _conv,
    "Relu": _relu,
    **dict.fromkeys(_BINARY, _binary),
    "Concat": _concat,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Sigmoid": lambda network, node: _scores(network, node, "LOGISTIC", None),
    "Exp": _exp,
    "Split": _split,
    "Slice": _slice,
    "Constant": lambda network, node: None,
}
