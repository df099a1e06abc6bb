"""What an ONNX file says of itself, for installs without `onnx`.

Whether it keeps weights in other files is found without loading any of them: a location may point
anywhere, so a stranger's file could have a runtime read what is not its own. The runtimes check
this differently or not at all.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.wire import count_fields

# The fields of onnx.proto3 that lead to tensors, to the metadata, to names of operators and to the
# input's shape:
# message -> field number -> message, or the kind of a number or a text.
_FIELDS = {
    "Model": {7: "Graph", 14: "Metadata", 20: "Training", 25: "Function"},
    "Metadata": {1: "string", 2: "string"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Value", 15: "Sparse"},
    "Node": {4: "string", 5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {2: "int64", 8: "string", 13: "Location"},
    "Location": {},
    "Value": {1: "string", 2: "Type"},
    "Type": {1: "TensorType"},
    "TensorType": {2: "Shape"},
    "Shape": {1: "Dimension"},
    "Dimension": {1: "int64"},
}
# Where else a file has messages, none of which is read here.
_MORE = {
    "Model": {8: "Pair", 26: "Device"},
    "Function": {9: "Pair", 12: "Value", 14: "Metadata"},
    "Graph": {12: "Value", 13: "Value", 14: "Annotation", 16: "Metadata"},
    "Annotation": {2: "Metadata"},
    "Node": {9: "Metadata", 10: "Device"},
    "Attribute": {14: "Type", 15: "Type"},
    "Tensor": {16: "Metadata"},
    "Value": {4: "Metadata"},
    "Type": {4: "Inner", 5: "Map", 8: "TensorType", 9: "Inner"},
    "Inner": {1: "Type"},
    "Map": {2: "Type"},
}
_MESSAGES = {
    name: {
        number: kind
        for number, kind in (_FIELDS.get(name, {}) | _MORE.get(name, {})).items()
        if kind not in ("string", "int64")
    }
    for name in _FIELDS | _MORE
}
_FLOAT16 = 10
_KIND = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _KIND.TYPE_BYTES, "int64": _KIND.TYPE_INT64}


def refuse_external_data(path: Path) -> None:
    """Refuse an ONNX file that names other files.

    Raises:
        InputError: it does; or it is too large, or damaged.
    """
    if _leads_to_location(_read(path)):
        raise InputError(f"{path}: keeps its weights in other files; save it as a single file")


def stated_spec(path: Path) -> ModelSpec | None:
    """Return the spec in a file's metadata, None for other people's files.

    Raises:
        InputError: the file or the spec in it is damaged.
    """
    for entry in _read(path).field_14:
        if entry.field_1[-1:] == [METADATA_KEY.encode()]:
            return ModelSpec.from_json(b"".join(entry.field_2[-1:]).decode(errors="replace"))
    return None


def input_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of the first input that is no weight, None where it is not fixed.

    Raises:
        InputError: the file is damaged.
    """
    sides = _input_sides(path)
    return (sides[3], sides[2]) if len(sides) == 4 and min(sides[2:]) > 0 else None


def input_channels(path: Path) -> int:
    """Return the channels of the first input that is no weight, 3 where it does not say."""
    sides = _input_sides(path)
    return sides[1] if len(sides) == 4 and sides[1] in (1, 3) else 3


def input_batch(path: Path) -> int:
    """Return how many inputs a file takes at once, 0 where it does not say.

    Raises:
        InputError: the file is damaged.
    """
    sides = _input_sides(path)
    return sides[0] if len(sides) == 4 else 0


def stored_precision(path: Path) -> Precision:
    """Return how a file is stored, by its operators and the type of its weights.

    Raises:
        InputError: the file is damaged.
    """
    graphs = _read(path).field_7
    operators = {name for graph in graphs for node in graph.field_1 for name in node.field_4}
    if any(_computes_integers(name.decode(errors="replace")) for name in operators):
        return "int8"
    if b"DequantizeLinear" in operators:
        return "w8"
    tensors = [tensor for graph in graphs for tensor in graph.field_5]
    # Some exporters write weights as nodes.
    tensors += (t for graph in graphs for n in graph.field_1 for a in n.field_5 for t in a.field_5)
    types = {type for tensor in tensors for type in tensor.field_2}
    return "fp16" if _FLOAT16 in types else "fp32"


def _computes_integers(operator: str) -> bool:
    known = operator in ("QuantizeLinear", "DynamicQuantizeLinear")
    return known or operator.startswith("QLinear") or operator.endswith("Integer")


def _input_sides(path: Path) -> list[int]:
    """The sides of the first input that is no weight, 0 where one is not fixed."""
    for graph in _read(path).field_7:
        weights = {name for tensor in graph.field_5 for name in tensor.field_8}
        for value in graph.field_11:
            if not weights.issuperset(value.field_1):
                shapes = [s for t in value.field_2 for k in t.field_1 for s in k.field_2]
                return [side for dim in shapes[-1].field_1 for side in dim.field_1 or [0]]
    return []


def _read(path: Path) -> Any:
    require_file(path, "ONNX file", Limit.MODEL)
    content = path.read_bytes()
    try:
        count_fields(content, "Model", _MESSAGES)
        return _model_class().FromString(content)
    except (DecodeError, ValueError) as error:
        raise InputError(f"{path}: {damaged(path, 'ONNX model', error)}") from error


def _leads_to_location(message: Any) -> bool:
    return message.DESCRIPTOR.name == "Location" or any(
        _leads_to_location(child)
        for field, children in message.ListFields()
        if field.message_type is not None
        for child in children
    )


@lru_cache(maxsize=1)
def _model_class() -> Any:
    """Build the message class; what it does not describe, it skips."""
    file = descriptor_pb2.FileDescriptorProto(
        name="ultraface_deploy/onnx_header.proto", package="onnx_header", syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, child in fields.items():
            message.field.add(
                name=f"field_{number}",
                number=number,
                type=_SCALARS.get(child, _KIND.TYPE_MESSAGE),
                type_name=None if child in _SCALARS else f".onnx_header.{child}",
                # A field that is there twice is merged where it is single; as a list all is seen.
                label=_KIND.LABEL_REPEATED,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("onnx_header.Model"))
