"""What is done to any ONNX file of these networks: input size, head, names, metadata."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ultraface_deploy.converters.onnx.cut import cut, name_maps, rename_tensors, restore
from ultraface_deploy.converters.onnx.metadata import describe
from ultraface_deploy.converters.onnx.opset import raise_opset
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.spec import ModelSpec


def prepare(model: onnx.ModelProto, current: ModelSpec, wanted: ModelSpec) -> onnx.ModelProto:
    """Bring a model to the wanted input size and head, with named nodes and metadata.

    Raises:
        InputError: the file has a decoded head and another size or the raw head is wanted: its
            anchors are baked in.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    raise_opset(out)
    _initializers_out_of_inputs(out)
    if current.head == "conv":
        name_maps(out, current)
    else:
        _canonical_outputs(out, current)
    same_size = (current.width, current.height) == (wanted.width, wanted.height)
    if current.head == "decoded" and not (same_size and wanted.head == "decoded"):
        raise InputError(
            f"{wanted.name}: the file has a decoded head, whose anchors are baked in; "
            f"convert from the raw-head ONNX or the .pth for `input_size` or another `head`"
        )
    if current.head == "conv" and not (same_size and wanted.head == "conv"):
        restore(out, current)
        current = replace(current, head="raw")
    if not same_size:
        _resize(out, wanted)
    if current.head != wanted.head:
        (cut if wanted.head == "conv" else _append_decoding)(out, wanted)
    _name_nodes(out)
    describe(out, wanted)
    return out


def _initializers_out_of_inputs(model: onnx.ModelProto) -> None:
    # Old exporters list weights among the inputs, which keeps every optimiser from folding them.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _canonical_outputs(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Name the network's outputs as ours and bring them into our order; drop all others.

    pnnx knows outputs by their place alone; see `converters.ncnn.rename_blobs`.
    """
    values = {value.name: value for value in model.graph.output}
    if not all(name in values for name in spec.outputs):
        wide = {name: _last_side(value) for name, value in values.items()}
        for wanted, width in spec.outputs.items():
            fitting = [name for name, last in wide.items() if last == width]
            if len(fitting) != 1:
                raise InputError(
                    f"{spec.name}: which of the outputs {', '.join(values)} holds the {wanted} "
                    "cannot be told; export them as scores and boxes"
                )
            rename_tensors(model, {fitting[0]: wanted})
        values = {value.name: value for value in model.graph.output}
    ordered = [values[name] for name in spec.outputs]
    del model.graph.output[:]
    model.graph.output.extend(ordered)


def _last_side(value: onnx.ValueInfoProto) -> int:
    sides = value.type.tensor_type.shape.dim
    return int(sides[-1].dim_value) if len(sides) == 3 else 0


def _resize(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Change the input size. The raw-head networks are convolutional up to their reshapes."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    constants = {
        node.output[0]: node.attribute[0].t
        for node in model.graph.node
        if node.op_type == "Constant"
    }
    for node in model.graph.node:
        if node.op_type == "Reshape":
            shape = initializers.get(node.input[1]) or constants.get(node.input[1])
            if shape is not None:
                values = numpy_helper.to_array(shape).copy()
                if values.shape == (3,):
                    values[1] = -1  # anchors: what the new size gives
                    shape.CopyFrom(numpy_helper.from_array(values, shape.name))
    _set_shape(model.graph.input[0], spec.input_shape)
    for output in model.graph.output:
        _set_shape(output, (1, spec.num_anchors, spec.outputs[output.name]))
    del model.graph.value_info[:]


def _set_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, list(shape)))


def _append_decoding(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Append `family.boxes.decode` as graph nodes; the raw offsets become an inner tensor."""
    graph, coding = model.graph, spec.anchors
    anchors = make_anchors(spec)
    for node in graph.node:
        for index, name in enumerate(node.output):
            node.output[index] = {"boxes": "offsets", "landmarks": "point_offsets"}.get(name, name)
    constants = {
        "decode/anchor_centers": anchors[None, :, :2],
        "decode/center_scale": anchors[None, :, 2:] * np.float32(coding.center_variance),
        "decode/size_variance": np.float32(coding.size_variance),
        "decode/half_sizes": anchors[None, :, 2:] * np.float32(0.5),
        "decode/split": np.array([2, 2], dtype=np.int64),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
    )
    steps = [
        ("Split", ["offsets", "decode/split"], ["decode/center_offsets", "decode/size_offsets"]),
        ("Mul", ["decode/center_offsets", "decode/center_scale"], ["decode/shift"]),
        ("Add", ["decode/shift", "decode/anchor_centers"], ["decode/centers"]),
        ("Mul", ["decode/size_offsets", "decode/size_variance"], ["decode/log_scale"]),
        ("Exp", ["decode/log_scale"], ["decode/scale"]),
        ("Mul", ["decode/scale", "decode/half_sizes"], ["decode/halves"]),
        ("Sub", ["decode/centers", "decode/halves"], ["decode/top_left"]),
        ("Add", ["decode/centers", "decode/halves"], ["decode/bottom_right"]),
        ("Concat", ["decode/top_left", "decode/bottom_right"], ["boxes"]),
    ]
    if spec.landmarks:
        constants = {
            "decode/point_scale": np.tile(constants["decode/center_scale"], spec.landmarks),
            "decode/point_centers": np.tile(anchors[None, :, :2], spec.landmarks),
        }
        graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in constants.items()
        )
        steps += [
            ("Mul", ["point_offsets", "decode/point_scale"], ["decode/point_shift"]),
            ("Add", ["decode/point_shift", "decode/point_centers"], ["landmarks"]),
        ]
    for operator, inputs, outputs in steps:
        node = helper.make_node(operator, inputs, outputs, name=f"{outputs[0]}/{operator}")
        if operator in ("Split", "Concat"):
            node.attribute.append(helper.make_attribute("axis", 2))
        graph.node.append(node)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Name the unnamed: tools that exclude nodes by name otherwise silently exclude nothing."""
    taken = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.name = name
