"""Which operator set a file has, and raising an old one."""

from __future__ import annotations

import onnx
import onnx.version_converter

from ultraface_deploy.converters.onnx.walk import Graph
from ultraface_deploy.errors import InputError

# 13 is the newest opset that every converter downstream (pnnx, MNN, OpenCV) reads without quirks.
OPSET = 13


def raise_opset(model: onnx.ModelProto) -> None:
    """Raise the opset to the one of our own export: files of old torch have 9, which no INT8 has.

    That the raised graph still computes the same is compared with the original file afterwards.

    Raises:
        InputError: an operator in it cannot be raised.
    """
    opset = Graph(model).opset
    if opset >= OPSET:
        return
    try:
        raised = onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{model.graph.name}: opset {opset} cannot be raised to {OPSET} ({reason}); export "
            f"the network again with opset {OPSET}"
        ) from error
    model.CopyFrom(raised)
