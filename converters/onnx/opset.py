"""Which operator set a file has, and raising an old one."""

from __future__ import annotations

import onnx
import onnx.defs
import onnx.version_converter

from ultraface_deploy.converters.onnx.walk import Graph
from ultraface_deploy.errors import InputError

# 13 is the newest opset that every converter downstream (pnnx, MNN, OpenCV) reads without quirks.
OPSET = 13


# Below it softmax and reductions mean something else, which onnx cannot write back.
OLDEST = OPSET


def check_opset(opset: int) -> None:
    """Refuse an opset that this version of onnx does not know or no runtime here reads.

    Raises:
        InputError: says which there are.
    """
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise InputError(f"--opset {opset}: give {OLDEST} to {newest}; {OPSET} is read everywhere")


def set_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model in another opset; what stands in its metadata stays.

    Raises:
        InputError: an operator in it does not exist there.
    """
    try:
        changed: onnx.ModelProto = onnx.version_converter.convert_version(model, opset)
    except Exception as error:  # the converter raises RuntimeError and its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"--opset {opset}: the network cannot be written so ({reason})") from error
    del changed.metadata_props[:]
    changed.metadata_props.extend(model.metadata_props)
    return changed


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
