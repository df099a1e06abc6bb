"""What a network costs before anyone runs it, counted on its graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.errors import MissingDependency


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-accumulates of all convolutions, BatchNorms folded into them."""

    parameters: int
    macs: int


def cost_of_onnx(path: Path) -> Cost:
    """Count on an ONNX file.

    MACs are output elements times the weights of one output channel.

    Raises:
        InputError: the file is damaged, or a convolution's output shape cannot be inferred.
        MissingDependency: onnx is not installed.
    """
    try:
        from ultraface_deploy.converters.onnx.files import load
        from ultraface_deploy.converters.onnx.walk import Graph
    except ImportError:
        raise MissingDependency.package("onnx", "onnx", "counting MACs") from None
    graph = Graph(load(path))
    parameters = macs = 0
    for node in graph.nodes:
        if node.op_type == "Conv":
            # A weight is (output channels, input channels / groups, height, width).
            weight = graph.constants[node.input[1]]
            macs += math.prod(graph.shape(node.output[0])) * math.prod(weight.shape[1:])
            parameters += sum(graph.constants[name].size for name in node.input[1:])
    return Cost(parameters, macs)
