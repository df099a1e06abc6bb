"""What a network costs before anyone runs it: multiply-accumulates, counted on its graph."""

from __future__ import annotations

import math
from pathlib import Path

from ultraface_deploy.errors import InputError, MissingDependency


def macs_of_onnx(path: Path) -> int:
    """Return the multiply-accumulates of all convolutions: output elements x weights of each.

    Raises:
        InputError: a convolution's output shape cannot be inferred.
        MissingDependency: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependency.package("onnx", "onnx", "counting MACs") from None
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
    values = (*graph.value_info, *graph.output)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            shape = shapes.get(node.output[0], [0])
            if not math.prod(shape):
                raise InputError(f"{path}: the shape of {node.output[0]} is unknown")
            # A weight is (output channels, input channels / groups, height, width).
            total += math.prod(shape) * math.prod(weights[node.input[1]][1:])
    return total
