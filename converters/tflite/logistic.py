"""The softmax over two classes as a logistic function of their difference.

softmax(a, b) = (s(a - b), s(b - a)) with s(x) = 1 / (1 + exp(-x)). The differences are linear in
the heads' weights, so that they cost nothing: the last convolution of each classification head
computes them in place of the logits. What remains is an operator for which INT8 has a scale of
its own, and which accelerators have.
"""

# Tested by tests/converters/tflite/test_int8.py.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from ultraface_deploy.converters.onnx.walk import Graph
from ultraface_deploy.quantize.network import Floats, Network
from ultraface_deploy.quantize.table import CalibrationTable, weight_norms

# Where the scores are .0003 and .9997: what lies beyond needs no levels of its own.
_REACH = 8.0


def class_layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the convolutions whose outputs, and nothing else, the two-class softmax reads.

    Empty where there is no such softmax: other networks keep theirs.
    """
    graph = Graph(model)
    makers = {tensor: node for node in graph.nodes for tensor in node.output}
    softmax = next((node for node in graph.nodes if node.op_type == "Softmax"), None)
    if softmax is None or graph.shape(softmax.output[0])[2:] != (2,):
        return ()
    joined = makers.get(softmax.input[0])
    if joined is None or joined.op_type != "Concat":
        return ()
    found = []
    for tensor in joined.input:
        for kind in ("Reshape", "Transpose", "Conv"):
            node = makers.get(tensor)
            if node is None or node.op_type != kind or graph.only_reader(tensor) is None:
                return ()
            tensor, name = node.input[0], node.name
        found.append(name)
    return tuple(found)


def logistic_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with a logistic function in the place of the softmax; weights stay."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        if node.op_type == "Softmax":
            node.CopyFrom(helper.make_node("Sigmoid", node.input, node.output, name=node.name))
    return changed


def logistic_network(network: Network, heads: Sequence[str]) -> Network:
    """Return the network whose `heads` compute differences."""
    return network.with_parameters(
        {
            name: (_differences(network.layer(name).weight), _differences(network.layer(name).bias))
            for name in heads
        }
    )


def logistic_table(
    table: CalibrationTable, network: Network, heads: Sequence[str]
) -> CalibrationTable:
    """Return what a calibration table says of the network whose `heads` compute differences.

    Means are linear. Of a difference's range this much is known: it is no wider than the two
    classes are apart.
    """
    absmax, mean, ranges = dict(table.absmax), dict(table.mean), dict(table.ranges)
    for name in heads:
        absmax[name] = np.repeat(table.absmax[name].reshape(-1, 2).sum(axis=1), 2)
        mean[name] = _differences(table.mean[name])
        ranges[name] = {
            method: (-widest, widest)
            for method, (low, high) in table.ranges[name].items()
            for widest in (min(high - low, _REACH),)
        }
    model = table.model | {"weight_norms": weight_norms(network)}
    return replace(table, model=model, absmax=absmax, mean=mean, ranges=ranges)


def _differences(values: Floats) -> Floats:
    """Of pairs along the first axis, each less the other."""
    pairs = values.reshape(-1, 2, *values.shape[1:])
    return (pairs - pairs[:, ::-1]).reshape(values.shape)
