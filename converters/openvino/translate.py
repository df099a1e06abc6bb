"""Simplified ONNX -> the operators of OpenVINO, in FP32 or INT8.

OpenVINO reads ONNX itself, but describes a network then by hundreds of operators on shapes, which
make a file of 300 KB half as large again; and it would have to guess which tensors are in INT8.
Knows the operators of these networks, raw and decoded; others are refused by name.
"""

# Tested by tests/converters/openvino/test_openvino.py.

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ultraface_deploy.backends.openvino import import_openvino
from ultraface_deploy.converters.onnx.walk import Graph, attributes, untranslatable

Array = npt.NDArray[Any]
_LEVELS = 256


def translate(model: onnx.ModelProto, numbers: Mapping[str, Array], name: str) -> Any:
    """Return the network as OpenVINO's `Model`.

    Args:
        model: simplified, at one input size.
        numbers: of INT8 layers `weight <layer>` (out, in / groups, k, k) int8 and `scales <layer>`
            (out,); of the tensors that they read `bounds <tensor>`, what 0 and 255 stand for.
        name: of the network.

    Raises:
        InputError: an operator that these networks do not have.
    """
    openvino = import_openvino()
    graph = Graph(model)
    (given,) = graph.inputs
    made = _Network(graph, numbers, openvino.opset13, {})
    parameter = made.ops.parameter(graph.shape(given), np.float32, name=given)
    made.add(given, parameter.output(0))
    for node in graph.nodes:
        if node.op_type not in _TRANSLATORS:
            raise untranslatable(
                "openvino", f"node {node.name} is {node.op_type}, which is not known"
            )
        _TRANSLATORS[node.op_type](made, node)
    results = [made.ops.result(made.values[each.name]) for each in model.graph.output]
    return openvino.Model(results, [parameter], name)


@dataclass
class _Network:
    graph: Graph
    numbers: Mapping[str, Array]
    ops: Any
    values: dict[str, Any]

    def value(self, name: str) -> Any:
        """The tensor of that name, a constant where it is stored."""
        if name not in self.values:
            self.values[name] = self.constant(self.graph.constants[name])
        return self.values[name]

    def constant(self, values: Array) -> Any:
        return self.ops.constant(np.ascontiguousarray(values)).output(0)

    def add(self, name: str, output: Any) -> None:
        """Keep a tensor under its name, rounded where an INT8 layer reads it."""
        output.get_tensor().set_names({name})
        self.values[name] = output

    def rounded(self, name: str) -> Any:
        """A tensor as an INT8 layer reads it: FakeQuantize stands once for all its readers."""
        key = f"{name} rounded"
        if key not in self.values:
            low, high = self.numbers[f"bounds {name}"]
            ends = [self.constant(np.array([each], np.float32)) for each in (low, high, low, high)]
            self.values[key] = self.ops.fake_quantize(self.value(name), *ends, _LEVELS).output(0)
        return self.values[key]


def _conv(network: _Network, node: onnx.NodeProto) -> None:
    given = attributes(node)
    groups = given.get("group", 1)
    integers = network.numbers.get(f"weight {node.name}")
    weight = network.graph.constants[node.input[1]] if integers is None else integers
    if groups > 1:
        weight = weight.reshape(groups, -1, *weight.shape[1:])
    filters = network.constant(weight)
    if integers is None:
        source = network.value(node.input[0])
    else:
        source = network.rounded(node.input[0])
        scales = network.numbers[f"scales {node.name}"].astype(np.float32)
        scales = scales.reshape(*weight.shape[: weight.ndim - 3], 1, 1, 1)
        real = network.ops.convert(filters, np.float32)
        filters = network.ops.multiply(real, network.constant(scales)).output(0)
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    make = network.ops.convolution if groups == 1 else network.ops.group_convolution
    sums = make(
        source,
        filters,
        list(given.get("strides", (1, 1))),
        [top, left],
        [bottom, right],
        list(given.get("dilations", (1, 1))),
    )
    if len(node.input) > 2:
        bias = network.graph.constants[node.input[2]].reshape(1, -1, 1, 1)
        sums = network.ops.add(sums, network.constant(bias))
    network.add(node.output[0], sums.output(0))


def _same(operator: str) -> Callable[[_Network, onnx.NodeProto], None]:
    """An operator that takes tensors alone, and the same as in ONNX."""

    def make(network: _Network, node: onnx.NodeProto) -> None:
        inputs = [network.value(name) for name in node.input]
        network.add(node.output[0], getattr(network.ops, operator)(*inputs).output(0))

    return make


def _concat(network: _Network, node: onnx.NodeProto) -> None:
    inputs = [network.value(name) for name in node.input]
    network.add(node.output[0], network.ops.concat(inputs, attributes(node)["axis"]).output(0))


def _transpose(network: _Network, node: onnx.NodeProto) -> None:
    order = network.constant(np.array(attributes(node)["perm"], np.int64))
    made = network.ops.transpose(network.value(node.input[0]), order)
    network.add(node.output[0], made.output(0))


def _reshape(network: _Network, node: onnx.NodeProto) -> None:
    sides = network.constant(np.array(network.graph.shape(node.output[0]), np.int64))
    made = network.ops.reshape(network.value(node.input[0]), sides, special_zero=False)
    network.add(node.output[0], made.output(0))


def _softmax(network: _Network, node: onnx.NodeProto) -> None:
    axis = attributes(node).get("axis", -1)
    axis %= len(network.graph.shape(node.input[0]))
    network.add(node.output[0], network.ops.softmax(network.value(node.input[0]), axis).output(0))


def _split(network: _Network, node: onnx.NodeProto) -> None:
    axis = attributes(node).get("axis", 0)
    lengths = np.array([network.graph.shape(name)[axis] for name in node.output], np.int64)
    made = network.ops.variadic_split(
        network.value(node.input[0]),
        network.constant(np.array(axis, np.int64)),
        network.constant(lengths),
    )
    for place, name in enumerate(node.output):
        network.add(name, made.output(place))


_TRANSLATORS: dict[str, Callable[[_Network, onnx.NodeProto], None]] = {
    "Conv": _conv,
    "Concat": _concat,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Split": _split,
    "Relu": _same("relu"),
    "Exp": _same("exp"),
    "Add": _same("add"),
    "Sub": _same("subtract"),
    "Mul": _same("multiply"),
    "Div": _same("divide"),
    "Constant": lambda network, node: None,
}
