"""Simplified ONNX -> ncnn without pnnx, whose wheel brings torch along: boards have neither.

Knows the operators of these networks, raw and decoded; others are refused by name. The layers'
parameters are those of ncnn's docs/developer-guide/operators.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.converters.ncnn.files import ParamLine, pack_fp16, pack_fp32, write_param
from ultraface_deploy.converters.onnx.walk import Graph, attributes, untranslatable
from ultraface_deploy.errors import InputError

_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3}
# What an operator becomes when the constant is its first input.
_REVERSED = {"Add": 0, "Sub": 7, "Mul": 2, "Div": 8}
_CHANNELS_LAST = (0, 2, 3, 1)


def write_ncnn(model: onnx.ModelProto, precision: Precision = "fp32") -> tuple[str, bytes]:
    """Return the text of a `.param` and the content of a `.bin` file.

    Args:
        model: a simplified network of fixed shapes, batch 1.
        precision: `fp16` stores the convolutions' weights in half.

    Raises:
        InputError: an operator cannot be translated here; says which and where.
    """
    writer = _Writer(Graph(model), precision)
    for node in writer.graph.nodes:
        if node.op_type != "Constant" and node.output[0] not in writer.fused:
            writer.translate(node)
    return write_param(_with_splits(writer.lines)), b"".join(writer.weights)


class _Writer:
    """The translation as it grows."""

    def __init__(self, graph: Graph, precision: Precision) -> None:
        self.graph, self.precision = graph, precision
        self.constants, self.shapes = graph.constants, graph.shapes
        self.lines: list[ParamLine] = []
        self.weights: list[bytes] = []
        # Output of a ReLU that is part of a convolution -> output of that convolution.
        self.fused = {
            reader.output[0]: node.output[0]
            for node in graph.nodes
            if node.op_type == "Conv"
            and (reader := graph.only_reader(node.output[0])) is not None
            and reader.op_type == "Relu"
        }
        (name,) = graph.inputs
        _, channels, height, width = graph.shape(name)
        self.add("Input", name, [], [name], {"0": width, "1": height, "2": channels})

    def add(
        self,
        kind: str,
        name: str,
        inputs: list[str],
        outputs: list[str],
        parameters: dict[str, Any],
    ) -> None:
        words = {key: str(value) for key, value in parameters.items()}
        name = name.strip("/").replace(" ", "_")
        self.lines.append(ParamLine(kind, name, tuple(inputs), tuple(outputs), words))

    def translate(self, node: onnx.NodeProto) -> None:
        translator = _TRANSLATORS.get(node.op_type)
        if translator is None:
            raise InputError(
                f"ncnn: operator {node.op_type} at node {node.name} cannot be translated here; "
                "pip install pnnx (which brings torch) for the full converter"
            )
        translator(self, node)

    def simple(self, node: onnx.NodeProto, kind: str, parameters: dict[str, Any]) -> None:
        """Add a layer whose inputs and outputs are the node's tensors."""
        inputs = [name for name in node.input if name not in self.constants]
        self.add(kind, node.name, inputs, list(node.output), parameters)

    def axis(self, node: onnx.NodeProto, default: int) -> int:
        """The node's axis as ncnn counts it: without the batch."""
        axis = int(attributes(node).get("axis", default))
        return (axis if axis >= 0 else axis + len(self.shapes[node.input[0]])) - 1


def _conv(network: _Writer, node: onnx.NodeProto) -> None:
    weight = network.constants[node.input[1]].astype(np.float32)
    bias = network.constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight))
    given = attributes(node)
    groups = int(given.get("group", 1))
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    stride_y, stride_x = given.get("strides", (1, 1))
    dilation_y, dilation_x = given.get("dilations", (1, 1))
    parameters = {
        **{"0": weight.shape[0], "1": weight.shape[3], "11": weight.shape[2]},
        **{"2": dilation_x, "12": dilation_y, "3": stride_x, "13": stride_y},
        **{"4": left, "14": top, "15": right, "16": bottom},
        **{"5": 1, "6": weight.size},
    }
    if groups > 1:
        parameters["7"] = groups
    fused = next((out for out, inner in network.fused.items() if inner == node.output[0]), None)
    if fused is not None:
        parameters["9"] = 1
    kind = "Convolution" if groups == 1 else "ConvolutionDepthWise"
    network.add(kind, node.name, [node.input[0]], [fused or node.output[0]], parameters)
    pack = pack_fp16 if network.precision == "fp16" else pack_fp32
    network.weights.append(pack(weight, bias.astype(np.float32)))


def _binary(network: _Writer, node: onnx.NodeProto) -> None:
    constant = next((name for name in node.input if name in network.constants), None)
    if constant is None:
        network.simple(node, "BinaryOp", {"0": _BINARY[node.op_type]})
        return
    table = _REVERSED if node.input[0] == constant else _BINARY
    value = network.constants[constant]
    if value.size == 1:
        number = f"{float(value.reshape(())):.9g}"
        network.simple(node, "BinaryOp", {"0": table[node.op_type], "1": 1, "2": number})
        return
    _memory(network, node, constant)
    network.add(
        "BinaryOp", node.name, list(node.input), list(node.output), {"0": _BINARY[node.op_type]}
    )


def _memory(network: _Writer, node: onnx.NodeProto, constant: str) -> None:
    """Add a constant tensor, as wide as the node's output is deep."""
    value = network.constants[constant]
    if value.ndim != 3 or value.shape[0] != 1:
        raise untranslatable("ncnn", f"node {node.name} has a constant of shape {value.shape}")
    if any(constant in line.outputs for line in network.lines):
        return
    network.add("MemoryData", constant, [], [constant], {"0": value.shape[2], "1": value.shape[1]})
    network.weights.append(value.astype("<f4").tobytes())


def _permute(network: _Writer, node: onnx.NodeProto) -> None:
    if tuple(attributes(node)["perm"]) != _CHANNELS_LAST:
        raise untranslatable("ncnn", f"node {node.name} transposes otherwise than to channels last")
    network.simple(node, "Permute", {"0": 3})


def _reshape(network: _Writer, node: onnx.NodeProto) -> None:
    _, *sides = network.shapes[node.output[0]]
    keys = ("0", "1", "2")
    network.simple(node, "Reshape", dict(zip(keys, reversed(sides), strict=False)))


def _split(network: _Writer, node: onnx.NodeProto) -> None:
    axis = network.axis(node, 0)
    sizes = [network.shapes[name][axis + 1] for name in node.output]
    array = ",".join(str(number) for number in (len(sizes), *sizes))
    network.simple(node, "Slice", {"-23300": array, "1": axis})


def _crop(network: _Writer, node: onnx.NodeProto) -> None:
    starts, ends, axes = (network.constants[name].tolist() for name in node.input[1:4])
    sides = network.shapes[node.input[0]]
    axes = [axis % len(sides) - 1 for axis in axes]
    ends = [min(end, sides[axis + 1]) for end, axis in zip(ends, axes, strict=True)]
    steps = network.constants[node.input[4]].tolist() if len(node.input) > 4 else [1]
    if set(steps) != {1} or min(axes) < 0:
        raise untranslatable("ncnn", f"node {node.name} slices with steps, or along the batch")
    arrays = {"-23309": starts, "-23310": ends, "-23311": axes}
    network.simple(
        node, "Crop", {key: ",".join(map(str, (len(v), *v))) for key, v in arrays.items()}
    )


_TRANSLATORS: dict[str, Callable[[_Writer, onnx.NodeProto], None]] = {
    "Conv": _conv,
    "Relu": lambda network, node: network.simple(node, "ReLU", {}),
    "Exp": lambda network, node: network.simple(node, "UnaryOp", {"0": 7}),
    **dict.fromkeys(_BINARY, _binary),
    "Concat": lambda network, node: network.simple(node, "Concat", {"0": network.axis(node, 0)}),
    "Softmax": lambda network, node: network.simple(
        node, "Softmax", {"0": network.axis(node, -1), "1": 1}
    ),
    "Transpose": _permute,
    "Reshape": _reshape,
    "Split": _split,
    "Slice": _crop,
}


def _with_splits(lines: list[ParamLine]) -> list[ParamLine]:
    """Give each reader of a blob a copy of its own, as ncnn wants it."""
    uses = Counter(name for line in lines for name in line.inputs)
    taken: Counter[str] = Counter()
    result = []
    for line in lines:
        inputs = []
        for name in line.inputs:
            inputs.append(f"{name}_split_{taken[name]}" if uses[name] > 1 else name)
            taken[name] += 1
        result.append(replace(line, inputs=tuple(inputs)))
        for name in line.outputs:
            if uses[name] > 1:
                copies = tuple(f"{name}_split_{index}" for index in range(uses[name]))
                result.append(ParamLine("Split", f"{name.strip('/')}_split", (name,), copies, {}))
    return result
