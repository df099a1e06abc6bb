"""INT8 for ONNX Runtime: the network with QuantizeLinear / DequantizeLinear pairs (QDQ)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ultraface_deploy.quantize.network import Layer, Network
from ultraface_deploy.quantize.plan import Plan, affine
from ultraface_deploy.quantize.ranges import Range


def with_parameters(model: onnx.ModelProto, network: Network) -> onnx.ModelProto:
    """Return a copy of a model of `network.find_layers` with the weights of another network."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    values = {}
    for layer in network.layers:
        values[f"{layer.name}.weight"], values[f"{layer.name}.bias"] = layer.weight, layer.bias
    for tensor in copy.graph.initializer:
        if tensor.name in values:
            array = values[tensor.name].astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return copy


def emit_onnx(plan: Plan, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the QDQ form of a plan: U8 activations, S8 weights with a scale per channel.

    `model` is the one that `network.find_layers` returned for the plan's network.

    Tensors that an INT8 convolution reads are rounded; what only the tail of the network reads
    stays FP32, because scores are made there.
    """
    model = with_parameters(model, plan.network)
    graph = model.graph
    rounded = {q.layer.source for q in plan.quantized.values()}
    made = {tensor for node in graph.node for tensor in node.output}
    nodes = [
        node
        for name in sorted(rounded - made)
        for node in _activation(graph, name, plan.ranges[name])
    ]
    for node in graph.node:
        node.input[:] = [f"{name}/dq" if name in rounded else name for name in node.input]
        if node.op_type == "Conv" and node.name in plan.quantized:
            nodes += _parameters(graph, node, plan)
        elif node.op_type == "Conv":
            nodes.append(_protected_bias(graph, node, plan.network.layer(node.name)))
        nodes.append(node)
        for name in rounded.intersection(node.output):
            nodes += _activation(graph, name, plan.ranges[name])
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unread(graph)
    return model


def _activation(graph: onnx.GraphProto, name: str, bounds: Range) -> list[onnx.NodeProto]:
    """Round a tensor to U8 and back."""
    scale, zero = affine(bounds)
    scale_name = _constant(graph, f"{name}/scale", np.float32(scale))
    zero_name = _constant(graph, f"{name}/zero", np.uint8(zero))
    return [
        helper.make_node("QuantizeLinear", [name, scale_name, zero_name], [f"{name}/q"]),
        helper.make_node("DequantizeLinear", [f"{name}/q", scale_name, zero_name], [f"{name}/dq"]),
    ]


def _parameters(graph: onnx.GraphProto, node: onnx.NodeProto, plan: Plan) -> list[onnx.NodeProto]:
    """Replace a convolution's weight and bias by integers and the nodes that undo it."""
    quantized = plan.quantized[node.name]
    scale, _ = affine(plan.ranges[quantized.layer.source])
    # The integer product of input and weight has this scale, and ONNX Runtime adds the bias there.
    bias_scales = quantized.scales * np.float32(scale)
    bias = np.rint(quantized.layer.bias / bias_scales).clip(-(2**31), 2**31 - 1).astype(np.int32)
    nodes = []
    for place, role, values, scales in (
        (1, "weight", quantized.weight, quantized.scales),
        (2, "bias", bias, bias_scales),
    ):
        name = f"{node.name}.{role}"
        inputs = [
            _constant(graph, f"{name}/q", values),
            _constant(graph, f"{name}/scale", scales),
            _constant(graph, f"{name}/zero", np.zeros(len(scales), values.dtype)),
        ]
        node.input[place] = f"{name}/dq"
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}/dq"], axis=0))
    return nodes


def _protected_bias(graph: onnx.GraphProto, node: onnx.NodeProto, layer: Layer) -> onnx.NodeProto:
    """Store the bias of a layer that stays FP32 as fine integers.

    ONNX Runtime (WeightBiasQuantization, since 1.20) rounds the weights of a convolution between
    quantised tensors to INT8 with a single scale, unasked, unless its bias is not a plain constant.
    """
    scale = np.float32(max(float(np.abs(layer.bias).max()), 1e-30) / 2**30)
    values = np.rint(layer.bias.astype(np.float64) / scale).astype(np.int32)
    name = f"{node.name}.bias"
    inputs = [_constant(graph, f"{name}/q", values), _constant(graph, f"{name}/scale", scale)]
    node.input[2] = f"{name}/dq"
    return helper.make_node("DequantizeLinear", inputs, [f"{name}/dq"])


def _constant(
    graph: onnx.GraphProto, name: str, values: npt.NDArray[np.generic] | np.generic
) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
