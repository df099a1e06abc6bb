"""Simplified ONNX -> the operators of TensorFlow Lite, in FP32, FP16 or INT8.

Feature maps are NCHW in ONNX and NHWC in TensorFlow Lite: weights are turned once, here, and the
transposes before the heads' reshapes vanish. Knows the operators of these networks, raw and
decoded; others are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.converters.onnx.walk import Graph, attributes, untranslatable
from ultraface_deploy.converters.tflite.convolution import convolution
from ultraface_deploy.converters.tflite.file import Quantization
from ultraface_deploy.converters.tflite.network import TO_NHWC, Network, Numbers

_BINARY = {"Add": "AddOptions", "Sub": "SubOptions", "Mul": "MulOptions", "Div": "DivOptions"}
# LOGISTIC writes INT8 in these numbers alone: 0..255/256 (TFLite's quantization specification).
_LOGISTIC = Quantization((1 / 256,), -128)


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
    network = Network.of(Graph(model), numbers)
    for node in network.graph.nodes:
        if node.output[0] not in network.fused:
            _translator(node)(network, node)
    for name, content in metadata.items():
        network.file.metadata(name, content)
    return network.file.content(
        [network.values[value.name] for value in model.graph.input],
        [network.result(value.name) for value in model.graph.output],
        description,
    )


def _translator(node: onnx.NodeProto) -> Callable[[Network, onnx.NodeProto], None]:
    found = _TRANSLATORS.get(node.op_type)
    if found is None:
        raise untranslatable(
            "tflite", f"operator {node.op_type} at node {node.name} has no translation here"
        )
    return found


def _binary(network: Network, node: onnx.NodeProto) -> None:
    name, activation = network.activated(node)
    integer = (
        node.op_type == "Add"
        and name in network.numbers.tensors
        and all(network.is_int8(each) for each in node.input)
    )
    maps = [each for each in node.input if each in network.channels_last]
    if maps and any(each in network.graph.constants for each in node.input):
        raise untranslatable("tflite", f"node {node.name} computes a feature map with a constant")
    network.channels_last.update([name] if maps else [])
    inputs = [network.values[e] if integer else network.as_float(e) for e in node.input]
    options = {"table": _BINARY[node.op_type], "fusedActivationFunction": activation}
    target = network.make(name, integer)
    version = 2 if integer else 1
    network.file.operator(node.op_type.upper(), inputs, target, options, version)


def _concat(network: Network, node: onnx.NodeProto) -> None:
    """In INT8 where all parts have the same numbers, which the kernels ask for."""
    axis = int(attributes(node)["axis"]) % len(network.graph.shape(node.output[0]))
    maps = {name in network.channels_last for name in node.input}
    if len(maps) > 1:
        raise untranslatable("tflite", f"node {node.name} joins feature maps with something else")
    (last,) = maps
    network.channels_last.update(node.output if last else ())
    axis = TO_NHWC.index(axis) if last else axis
    parts = [network.values.get(name) for name in node.input]
    numbers = {part.quantization for part in parts if part is not None}
    integer = all(network.is_int8(name) for name in node.input) and len(numbers) == 1
    inputs = [network.values[e] if integer else network.as_float(e) for e in node.input]
    target = network.make(node.output[0], integer, next(iter(numbers)) if integer else None)
    options = {"table": "ConcatenationOptions", "axis": axis, "fusedActivationFunction": 0}
    network.file.operator("CONCATENATION", inputs, target, options, 2 if integer else 1)


def _transpose(network: Network, node: onnx.NodeProto) -> None:
    """To channels last, which is how the tensor lies already: the result is the same tensor."""
    source = node.input[0]
    if tuple(attributes(node)["perm"]) != TO_NHWC or source not in network.channels_last:
        raise untranslatable(
            "tflite", f"node {node.name} transposes otherwise than to channels last"
        )
    network.values[node.output[0]] = network.values[source]


def _reshape(network: Network, node: onnx.NodeProto) -> None:
    if node.input[0] in network.channels_last:
        raise untranslatable("tflite", f"node {node.name} reshapes a map whose channels come first")
    integer = network.numbers.integer_tail and network.is_int8(node.input[0])
    source = network.values[node.input[0]] if integer else network.as_float(node.input[0])
    target = network.make(node.output[0], integer, source.quantization)
    sides = network.graph.shape(node.output[0])
    shape = network.file.constant(f"{node.name}/shape", np.array(sides, np.int32))
    options = {"table": "ReshapeOptions", "newShape": list(sides)}
    network.file.operator("RESHAPE", [source, shape], target, options)


def _softmax(network: Network, node: onnx.NodeProto) -> None:
    sides = network.graph.shape(node.input[0])
    if int(attributes(node).get("axis", -1)) % len(sides) != len(sides) - 1:
        raise untranslatable(
            "tflite", f"node {node.name} is a softmax along another axis than the last"
        )
    _scores(network, node, "SOFTMAX", {"table": "SoftmaxOptions", "beta": 1.0})


def _scores(
    network: Network, node: onnx.NodeProto, kind: str, options: Mapping[str, Any] | None
) -> None:
    integer = network.numbers.integer_tail and network.is_int8(node.input[0])
    source = network.values[node.input[0]] if integer else network.as_float(node.input[0])
    target = network.make(node.output[0], integer, _LOGISTIC)
    network.file.operator(kind, [source], target, options, 2 if integer else 1)


def _exp(network: Network, node: onnx.NodeProto) -> None:
    source, target = network.as_float(node.input[0]), network.make(node.output[0], integer=False)
    network.file.operator("EXP", [source], target, {"table": "ExpOptions"})


def _relu(network: Network, node: onnx.NodeProto) -> None:
    source = network.as_float(node.input[0])
    network.channels_last.update(node.output if node.input[0] in network.channels_last else ())
    network.file.operator("RELU", [source], network.make(node.output[0], integer=False))


def _split(network: Network, node: onnx.NodeProto) -> None:
    axis = int(attributes(node).get("axis", 0)) % len(network.graph.shape(node.input[0]))
    start = 0
    for name in node.output:
        starts = [0] * len(network.graph.shape(name))
        starts[axis] = start
        _cut(network, node, name, starts)
        start += network.graph.shape(name)[axis]


def _slice(network: Network, node: onnx.NodeProto) -> None:
    sides = network.graph.shape(node.input[0])
    if given := attributes(node):  # before opset 10
        starts, axes, steps = given["starts"], given["axes"], [1]
    else:
        starts, _, axes = (network.graph.constants[name].tolist() for name in node.input[1:4])
        steps = network.graph.constants[node.input[4]].tolist() if len(node.input) > 4 else [1]
    if set(steps) != {1}:
        raise untranslatable("tflite", f"node {node.name} slices with steps")
    first = [0] * len(sides)
    for start, axis in zip(starts, axes, strict=True):
        first[axis] = start if start >= 0 else start + sides[axis]
    # The output's shape says how much is taken.
    _cut(network, node, node.output[0], first)


def _cut(network: Network, node: onnx.NodeProto, output: str, starts: Sequence[int]) -> None:
    if node.input[0] in network.channels_last:
        raise untranslatable("tflite", f"node {node.name} cuts a feature map")
    begin = network.file.constant(f"{output}/begin", np.array(starts, np.int32))
    size = network.file.constant(f"{output}/size", np.array(network.graph.shape(output), np.int32))
    inputs = [network.as_float(node.input[0]), begin, size]
    network.file.operator(
        "SLICE", inputs, network.make(output, integer=False), {"table": "SliceOptions"}
    )


_TRANSLATORS: dict[str, Callable[[Network, onnx.NodeProto], None]] = {
    "Conv": convolution,
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
