"""The head of an ONNX network: cut off behind its last convolutions, or put back."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ultraface_deploy.converters.onnx.walk import Graph
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.maps import MapOutput, map_outputs, names_of_maps


def cut(model: onnx.ModelProto, spec: ModelSpec) -> dict[str, str]:
    """End a raw-head network at the convolutions that make logits and offsets.

    Returns:
        What the tensors that they make are called now, by their old names.

    Raises:
        InputError: they are not one for each feature map and output, as the family has them.
    """
    graph = Graph(model)
    makers = {tensor: node for node in graph.nodes for tensor in node.output}
    found = {
        output.name: tensor
        for holds in spec.outputs
        for output, tensor in _behind(holds, graph, makers, spec)
    }
    names = {tensor: name for name, tensor in found.items()}
    rename_tensors(model, names)
    _state_outputs(model, map_outputs(spec))
    _drop_unread(model)
    return names


def _behind(
    holds: str, graph: Graph, makers: dict[str, onnx.NodeProto], spec: ModelSpec
) -> list[tuple[MapOutput, str]]:
    """The convolutions' tensors that an output is made of, each with what it becomes."""
    tensors, queue = [], [holds]
    while queue:
        node = makers.get(queue.pop())
        if node is not None and node.op_type == "Conv":
            tensors.append(node.output[0])
        elif node is not None:
            queue.extend(node.input)
    wanted = [output for output in map_outputs(spec) if output.holds == holds]
    by_shape = {graph.shape(tensor): tensor for tensor in tensors}
    if len(tensors) != len(wanted) or any(each.shape not in by_shape for each in wanted):
        raise InputError(
            f"`head` conv: the {holds} of {spec.name} are not made by one convolution for each of "
            f"{len(wanted)} feature maps; it cannot be cut there; choose another `head`"
        )
    return [(each, by_shape[each.shape]) for each in wanted]


def restore(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Append to a network that ends at its convolutions what makes a raw head of it."""
    graph = model.graph
    for holds, values in spec.outputs.items():
        rows = []
        for output in (each for each in map_outputs(spec) if each.holds == holds):
            shape = f"{output.name}/shape"
            wanted = np.array([1, -1, values], np.int64)
            graph.initializer.append(numpy_helper.from_array(wanted, shape))
            last, row = f"{output.name}/last", f"{output.name}/rows"
            turn = helper.make_node("Transpose", [output.name], [last], last, perm=[0, 2, 3, 1])
            graph.node.extend([turn, helper.make_node("Reshape", [last, shape], [row], row)])
            rows.append(row)
        joined = "logits" if holds == "scores" else holds
        # The decoding, appended later, has nodes of its own called after what they make.
        graph.node.append(helper.make_node("Concat", rows, [joined], f"head/{joined}", axis=1))
    softmax = helper.make_node("Softmax", ["logits"], ["scores"], "head/scores", axis=2)
    graph.node.append(softmax)
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, spec.num_anchors, values])
        for name, values in spec.outputs.items()
    )


def name_maps(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Give the outputs of a foreign network that ends at its convolutions our names and order.

    Raises:
        InputError: they cannot be told apart.
    """
    shapes = {
        value.name: np.broadcast_to(
            np.float32(0), [side.dim_value for side in value.type.tensor_type.shape.dim]
        )
        for value in model.graph.output
    }
    names = names_of_maps(shapes, spec)
    if names is None:
        raise InputError(
            f"{spec.name}: which output belongs to which feature map cannot be told; "
            "choose another `head`"
        )
    wanted = map_outputs(spec)
    if any(shapes[name].shape != each.shape for name, each in zip(names, wanted, strict=True)):
        raise InputError(
            f"{spec.name}: its outputs have their channels last; give one from PyTorch"
        )
    rename_tensors(model, dict(zip(names, (each.name for each in wanted), strict=True)))
    _state_outputs(model, wanted)


def rename_tensors(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename tensors wherever they stand, all at once."""
    for node in model.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (*model.graph.output, *model.graph.value_info):
        value.name = names.get(value.name, value.name)


def _state_outputs(model: onnx.ModelProto, outputs: tuple[MapOutput, ...]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(each.name, TensorProto.FLOAT, list(each.shape))
        for each in outputs
    )


def _drop_unread(model: onnx.ModelProto) -> None:
    """Remove nodes and parameters that no output is made of."""
    graph = model.graph
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    parameters = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(parameters)
