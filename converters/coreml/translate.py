"""Simplified ONNX -> operations of MIL, the language of Core ML's programs.

coremltools reads torch and TensorFlow, and no ONNX any more. Knows the operators of these networks,
raw and decoded; others are refused by name.
"""

# Tested by tests/converters/coreml/test_coreml.py.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.backends.coreml import import_coremltools
from ultraface_deploy.converters.onnx.walk import Graph, attributes, untranslatable


def translate(model: onnx.ModelProto) -> Any:
    """Return the network as coremltools' `Program`.

    Args:
        model: simplified, at one input size.

    Raises:
        InputError: an operator that these networks do not have.
    """
    coremltools = import_coremltools()
    from coremltools.converters.mil import Builder

    graph = Graph(model)
    (given,) = graph.inputs
    for node in graph.nodes:
        if node.op_type not in _TRANSLATORS:
            raise untranslatable(
                "coreml", f"node {node.name} is {node.op_type}, which is not known"
            )

    def build(source: Any) -> Any:
        made = _Network(graph, Builder, {given: source})
        for node in graph.nodes:
            _TRANSLATORS[node.op_type](made, node)
        return tuple(made.values[each.name] for each in model.graph.output)

    build.__signature__ = _one_argument(given)  # type: ignore[attr-defined]
    shape = Builder.TensorSpec(shape=graph.shape(given))
    decorate = Builder.program(input_specs=[shape], opset_version=coremltools.target.iOS16)
    return decorate(build)


def _one_argument(name: str) -> Any:
    """coremltools calls the input what the function calls its argument."""
    from inspect import Parameter, Signature

    return Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD)])


@dataclass
class _Network:
    graph: Graph
    ops: Any
    values: dict[str, Any]

    def value(self, name: str) -> Any:
        """The tensor of that name, an array where it is stored."""
        return self.values[name] if name in self.values else self.graph.constants[name]

    def inputs(self, node: onnx.NodeProto) -> list[Any]:
        return [self.value(name) for name in node.input]


def _conv(network: _Network, node: onnx.NodeProto) -> None:
    given = attributes(node)
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    source, weight, *bias = network.inputs(node)
    network.values[node.output[0]] = network.ops.conv(
        x=source,
        weight=weight,
        **({"bias": bias[0]} if bias else {}),
        strides=list(given.get("strides", (1, 1))),
        pad_type="custom",
        pad=[top, bottom, left, right],
        dilations=list(given.get("dilations", (1, 1))),
        groups=given.get("group", 1),
        name=node.output[0],
    )


def _unary(operator: str) -> Callable[[_Network, onnx.NodeProto], None]:
    def make(network: _Network, node: onnx.NodeProto) -> None:
        (source,) = network.inputs(node)
        made = getattr(network.ops, operator)(x=source, name=node.output[0])
        network.values[node.output[0]] = made

    return make


def _binary(operator: str) -> Callable[[_Network, onnx.NodeProto], None]:
    def make(network: _Network, node: onnx.NodeProto) -> None:
        first, second = network.inputs(node)
        made = getattr(network.ops, operator)(x=first, y=second, name=node.output[0])
        network.values[node.output[0]] = made

    return make


def _concat(network: _Network, node: onnx.NodeProto) -> None:
    network.values[node.output[0]] = network.ops.concat(
        values=network.inputs(node), axis=attributes(node)["axis"], name=node.output[0]
    )


def _transpose(network: _Network, node: onnx.NodeProto) -> None:
    network.values[node.output[0]] = network.ops.transpose(
        x=network.value(node.input[0]), perm=list(attributes(node)["perm"]), name=node.output[0]
    )


def _reshape(network: _Network, node: onnx.NodeProto) -> None:
    shape = np.array(network.graph.shape(node.output[0]), np.int32)
    network.values[node.output[0]] = network.ops.reshape(
        x=network.value(node.input[0]), shape=shape, name=node.output[0]
    )


def _softmax(network: _Network, node: onnx.NodeProto) -> None:
    axis = attributes(node).get("axis", -1) % len(network.graph.shape(node.input[0]))
    network.values[node.output[0]] = network.ops.softmax(
        x=network.value(node.input[0]), axis=axis, name=node.output[0]
    )


def _split(network: _Network, node: onnx.NodeProto) -> None:
    axis = attributes(node).get("axis", 0)
    lengths = [network.graph.shape(name)[axis] for name in node.output]
    made = network.ops.split(x=network.value(node.input[0]), split_sizes=lengths, axis=axis)
    network.values.update(zip(node.output, made, strict=True))


_TRANSLATORS: dict[str, Callable[[_Network, onnx.NodeProto], None]] = {
    "Conv": _conv,
    "Concat": _concat,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Split": _split,
    "Relu": _unary("relu"),
    "Exp": _unary("exp"),
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("real_div"),
    "Constant": lambda network, node: None,
}
