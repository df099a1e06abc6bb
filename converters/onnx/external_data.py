"""Whether an ONNX file keeps weights in other files, without loading any of them.

A location may point anywhere, so a stranger's file could have a runtime read what is not its
own. The runtimes check this differently or not at all, and not every install has `onnx`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.limits import Limit

# The fields of onnx.proto3 that lead to tensors: message -> field number -> message.
_FIELDS = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Location"},
    "Location": {},
}


def refuse_external_data(path: Path) -> None:
    """Refuse an ONNX file that names other files.

    Raises:
        InputError: it does; or it is too large, or damaged.
    """
    require_file(path, "ONNX file", Limit.MODEL)
    try:
        model = _model_class().FromString(path.read_bytes())
    except DecodeError as error:
        raise InputError(f"{path}: not an ONNX model, or damaged ({error})") from error
    if _leads_to_location(model):
        raise InputError(f"{path}: keeps its weights in other files; save it as a single file")


def _leads_to_location(message: Any) -> bool:
    return message.DESCRIPTOR.name == "Location" or any(
        _leads_to_location(child) for _, children in message.ListFields() for child in children
    )


@lru_cache(maxsize=1)
def _model_class() -> Any:
    """Build the message class; what it does not describe, it skips."""
    file = descriptor_pb2.FileDescriptorProto(
        name="ultraface_deploy/external_data.proto", package="external_data", syntax="proto3"
    )
    kind = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, child in fields.items():
            message.field.add(
                name=f"field_{number}",
                number=number,
                type=kind.TYPE_MESSAGE,
                type_name=f".external_data.{child}",
                # A field that is there twice is merged where it is single; as a list all is seen.
                label=kind.LABEL_REPEATED,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("external_data.Model"))
