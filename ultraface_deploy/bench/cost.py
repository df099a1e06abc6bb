"""What a network costs before anyone runs it, counted on its graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.errors import MissingDependency

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-accumulates of all convolutions, BatchNorms folded into them."""

    parameters: int
    macs: int


def cost_of_onnx(path: Path, size: tuple[int, int] | None = None) -> Cost:
    """Count on an ONNX file.

    MACs are output elements times the weights of one output channel.

    Args:
        path: the file.
        size: (width, height) of the input to count for; None for the one that the file states.

    Raises:
        InputError: the file is damaged, or a convolution's output shape cannot be inferred.
        MissingDependency: onnx is not installed.
    """
    try:
        from ultraface_deploy.converters.onnx.files import load
        from ultraface_deploy.converters.onnx.walk import Graph
    except ImportError:
        raise MissingDependency.package("onnx", "onnx", "counting MACs") from None
    model = load(path)
    if size is not None:
        _state_size(model, *size)
    graph = Graph(model)
    parameters = macs = 0
    for node in graph.nodes:
        if node.op_type == "Conv":
            # A weight is (output channels, input channels / groups, height, width).
            weight = graph.constants[node.input[1]]
            macs += math.prod(graph.shape(node.output[0])) * math.prod(weight.shape[1:])
            parameters += sum(graph.constants[name].size for name in node.input[1:])
    return Cost(parameters, macs)


def _state_size(model: onnx.ModelProto, width: int, height: int) -> None:
    """Let a model read (1, 3, height, width), and forget what it says of other shapes."""
    shape = model.graph.input[0].type.tensor_type.shape
    for axis, value in zip(shape.dim, (1, 3, height, width), strict=True):
        axis.dim_value = value
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
