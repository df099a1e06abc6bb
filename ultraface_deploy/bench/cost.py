"""What a network costs before anyone runs it, counted on its graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.errors import InputError, MissingDependency


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-accumulates of all convolutions, BatchNorms folded into them."""

    parameters: int
    macs: int


def cost_of_onnx(path: Path) -> Cost:
    """Count on an ONNX file.

    MACs are output elements times the weights of one output channel.

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
    parameters = macs = 0
    for node in graph.node:
        if node.op_type == "Conv":
            elements = math.prod(shapes.get(node.output[0], [0]))
            if not elements:
                raise InputError(f"{path}: the shape of {node.output[0]} is unknown")
            # A weight is (output channels, input channels / groups, height, width).
            macs += elements * math.prod(weights[node.input[1]][1:])
            parameters += sum(math.prod(weights[name]) for name in node.input[1:])
    return Cost(parameters, macs)
