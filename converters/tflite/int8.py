"""INT8 for TensorFlow Lite: a plan's numbers in the form that its kernels take.

Weights are symmetric with a scale per output channel, activations have a zero point, biases are
int32 (tensorflow.org/lite/performance/quantization_spec).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from ultraface_deploy.converters.onnx.walk import Graph
from ultraface_deploy.converters.tflite.file import Quantization
from ultraface_deploy.converters.tflite.network import Numbers, QuantizedWeights
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.plan import Plan, affine
from ultraface_deploy.quantize.ranges import Range


def numbers_of(plan: Plan, model: onnx.ModelProto, spec: ModelSpec, integer_tail: bool) -> Numbers:
    """Return how a plan is written down.

    Args:
        plan: of the network that is to be translated.
        model: its graph.
        spec: what it is, for the numbers of its input.
        integer_tail: whether the outputs are INT8 too, and all that makes them.
    """
    layers = {
        name: QuantizedWeights(quantized.weight, quantized.scales, quantized.layer.bias)
        for name, quantized in plan.quantized.items()
    }
    graph = Graph(model)
    (given,) = graph.inputs
    tensors = {
        name: _asymmetric(bounds) for name, bounds in _joined(plan, graph, integer_tail).items()
    }
    tensors[given] = input_quantization(spec) or tensors[given]
    return Numbers(layers=layers, tensors=tensors, integer_tail=integer_tail)


def input_quantization(spec: ModelSpec) -> Quantization | None:
    """Return the numbers in which the input is a pixel less 128, exactly.

    None where the mean is no whole number, or not the same for all colours.
    """
    mean = spec.mean[0]
    if len(set(spec.mean)) > 1 or mean != int(mean) or not -128 <= int(mean) - 128 <= 127:
        return None
    return Quantization((1 / spec.std[0],), int(mean) - 128)


def _asymmetric(bounds: Range) -> Quantization:
    scale, zero = affine(bounds)
    return Quantization((scale,), zero - 128)


def _joined(plan: Plan, graph: Graph, integer_tail: bool) -> Mapping[str, Range]:
    """The ranges, one for all that is joined: a concatenation in INT8 only copies."""
    ranges = dict(plan.ranges)
    makers = {tensor: node for node in graph.nodes for tensor in node.output}
    for node in reversed(graph.nodes):
        if node.op_type != "Concat" or not (integer_tail or node.output[0] in ranges):
            continue
        parts = []
        for tensor in node.input:
            while tensor not in ranges and tensor in makers:
                tensor = makers[tensor].input[0]
            parts.append(tensor)
        known = [ranges[name] for name in (node.output[0], *parts) if name in ranges]
        if known:
            bounds = (min(low for low, _ in known), max(high for _, high in known))
            ranges.update(dict.fromkeys([*parts, node.output[0]], bounds))
    return {name: (float(np.float32(low)), float(high)) for name, (low, high) in ranges.items()}
