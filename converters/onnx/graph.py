"""torch -> ONNX, and what is done to any ONNX file of these networks: size, head, names, facts."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ultraface_deploy.converters.base import Conversion, Converter
from ultraface_deploy.converters.onnx.external_data import refuse_external_data
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec

# 13 is the newest opset that every converter downstream (pnnx, MNN, OpenCV) reads without quirks.
OPSET = 13


def _convert(job: Conversion) -> None:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(job.sources[0], job.spec.name)
    raw = replace(job.spec, head="raw")
    model = export(checkpoint.build(), raw)
    save(prepare(model, raw, job.spec), job.outputs[0])


CONVERTER = Converter(
    format="onnx",
    source="torch",
    suffixes=(".onnx",),
    precisions=("fp32",),
    packages=("torch", "onnx"),
    extra="convert",
    run=_convert,
)


def export(net: object, spec: ModelSpec) -> onnx.ModelProto:
    """Export a torch network with the raw head at the spec's input size."""
    import torch

    from ultraface_deploy.family.nets import RawHead, UltraFace

    if not isinstance(net, UltraFace):
        raise TypeError(f"expected an UltraFace network, got {type(net).__name__}")
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter is deprecated, but its graph is the one the converters know.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            RawHead(net).eval(),
            (torch.zeros(spec.input_shape),),
            buffer,  # type: ignore[arg-type]  # a file object is fine for this exporter
            input_names=["input"],
            output_names=["scores", "boxes"],
            opset_version=OPSET,
            dynamo=False,
        )
    model: onnx.ModelProto = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        node.name = node.name.removeprefix("/net")
    return model


def load(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file.

    Raises:
        InputError: it is not an ONNX file, damaged, or keeps its weights in other files.
    """
    refuse_external_data(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
        bad = next((tensor for tensor in model.graph.initializer if not _is_finite(tensor)), None)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    numpy_helper.to_array(attribute.t)
    except Exception as error:  # protobuf and the checker share no base class
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else "unreadable"
        raise InputError(f"{path}: not an ONNX model, or damaged ({reason})") from error
    if not model.graph.node:
        raise InputError(f"{path}: not an ONNX model, or damaged (no nodes)")
    if bad is not None:
        raise InputError(f"{path}: {bad.name} holds values that are not finite")
    return model


def _is_finite(tensor: onnx.TensorProto) -> bool:
    values = numpy_helper.to_array(tensor)
    return not np.issubdtype(values.dtype, np.floating) or bool(np.isfinite(values).all())


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check a model and write it."""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def prepare(model: onnx.ModelProto, current: ModelSpec, wanted: ModelSpec) -> onnx.ModelProto:
    """Bring a model to the wanted input size and head, with named nodes and metadata.

    Raises:
        InputError: the file has a decoded head and another size or the raw head is wanted: its
            anchors are baked in.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    _initializers_out_of_inputs(out)
    _scores_before_boxes(out)
    same_size = (current.width, current.height) == (wanted.width, wanted.height)
    if current.head == "decoded" and not (same_size and wanted.head == "decoded"):
        raise InputError(
            f"{wanted.name}: the file has a decoded head, whose anchors are baked in; "
            f"convert from the raw-head ONNX or the .pth for --input-size or --head raw"
        )
    if not same_size:
        _resize(out, wanted)
    if current.head != wanted.head:
        _append_decoding(out, wanted)
    _name_nodes(out)
    _describe(out, wanted)
    return out


def read_spec(model: onnx.ModelProto) -> ModelSpec | None:
    """Return the spec that `prepare` wrote into the metadata, None for other people's files."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return ModelSpec.from_json(entry.value)
    return None


def has_dilation(model: onnx.ModelProto) -> bool:
    """Whether a convolution is dilated: among these networks only RFB's are."""
    return any(
        attribute.name == "dilations" and max(attribute.ints) > 1
        for node in model.graph.node
        if node.op_type == "Conv"
        for attribute in node.attribute
    )


def _initializers_out_of_inputs(model: onnx.ModelProto) -> None:
    # Old exporters list weights among the inputs, which keeps every optimiser from folding them.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _scores_before_boxes(model: onnx.ModelProto) -> None:
    # pnnx knows outputs by their place alone; see `converters.ncnn.rename_blobs`.
    outputs = sorted(model.graph.output, key=lambda value: value.name != "scores")
    del model.graph.output[:]
    model.graph.output.extend(outputs)


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
        last = spec.num_classes if output.name == "scores" else 4
        _set_shape(output, (1, spec.num_anchors, last))
    del model.graph.value_info[:]


def _set_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, list(shape)))


def _append_decoding(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Append `pipeline.boxes.decode` as graph nodes; the raw offsets become an inner tensor."""
    graph, coding = model.graph, spec.anchors
    anchors = make_anchors(spec)
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == "boxes":
                node.output[index] = "offsets"
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
    for operator, inputs, outputs in steps:
        node = helper.make_node(operator, inputs, outputs, name=f"{outputs[0]}/{operator}")
        if operator in ("Split", "Concat"):
            node.attribute.append(helper.make_attribute("axis", 2))
        if operator == "Split" and _opset(model) < 13:  # before it, the sizes are an attribute
            del node.input[1:]
            node.attribute.append(helper.make_attribute("split", [2, 2]))
        graph.node.append(node)


def _opset(model: onnx.ModelProto) -> int:
    return max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


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


def _describe(model: onnx.ModelProto, spec: ModelSpec) -> None:
    others = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(spec.to_dict())
    model.producer_name = "ultraface-deploy"
    model.producer_version = ""
    model.graph.name = spec.name
