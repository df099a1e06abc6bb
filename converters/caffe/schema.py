"""The message classes of `caffe.proto`, built from its compiled descriptor.

A descriptor is data: unlike generated code it is tied to no version of the protobuf runtime.
The pool is private, so that pycaffe may register its own schema in the same process.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(
        _POOL.FindMessageTypeByName(f"ultraface_deploy.caffe.{name}")
    )


def _build_pool() -> descriptor_pool.DescriptorPool:
    compiled = resources.files(__package__).joinpath("caffe.desc").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _build_pool()

# Classes made at run time have no static type; their fields are those of caffe.proto.
NetParameter: Any = _message_class("NetParameter")
LayerParameter: Any = _message_class("LayerParameter")
EltwiseOp: Any = _message_class("EltwiseParameter").EltwiseOp
# The one order in which these networks permute: (N, C, H, W) to (N, H, W, C).
CHANNELS_LAST = [0, 2, 3, 1]
