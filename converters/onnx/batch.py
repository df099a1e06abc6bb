"""How many inputs an ONNX network takes at once: one, another fixed number, or any."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import numpy_helper

from ultraface_deploy.converters.onnx.files import load, save

# Of the symbolic dimension.
_ANY = "batch"


def set_batch(file: Path, batch: int | None) -> None:
    """Rewrite a file of one of these networks for a number of inputs, None for any number.

    That each of them is computed as it is alone is compared afterwards.

    Raises:
        InputError: no ONNX file, or not one of these networks.
    """
    model = load(file)
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    constants = {
        node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"
    }
    weights = set(initializers)
    for value in (*graph.input, *graph.output):
        if value.name not in weights:
            _set_first_side(value, batch)
    for node in graph.node:
        if node.op_type == "Reshape":
            shape = initializers.get(node.input[1]) or constants.get(node.input[1])
            if shape is not None:
                sides = numpy_helper.to_array(shape).copy()
                # What makes rows of anchors: as many as the input has, however many that are.
                if sides.shape == (3,):
                    sides[0] = 0
                    shape.CopyFrom(numpy_helper.from_array(sides, shape.name))
    del graph.value_info[:]
    save(model, file)


def _set_first_side(value: onnx.ValueInfoProto, batch: int | None) -> None:
    side = value.type.tensor_type.shape.dim[0]
    side.Clear()
    if batch is None:
        side.dim_param = _ANY
    else:
        side.dim_value = batch
