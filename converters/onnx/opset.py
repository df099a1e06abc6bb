"""Which operator set a file has, raising an old one, and writing an old one for old readers."""

from __future__ import annotations

import onnx
import onnx.defs
import onnx.helper
import onnx.version_converter

from ultraface_deploy.converters.onnx.walk import Graph, attributes
from ultraface_deploy.errors import InputError

# 13 is the newest opset that every converter downstream (pnnx, MNN, OpenCV) reads without quirks.
OPSET = 13
# What torch 1.2 to 1.9 wrote, and the oldest that compilers for small chips still ask for.
OLDEST = 9


def check_opset(opset: int) -> None:
    """Refuse an opset that this version of onnx does not know or no runtime here reads.

    Raises:
        InputError: says which there are.
    """
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise InputError(f"`opset` {opset}: give {OLDEST} to {newest}; {OPSET} is read everywhere")


def set_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model in another opset; what stands in its metadata stays.

    That it still computes the same is compared with the original network afterwards.

    Raises:
        InputError: an operator in it does not exist there.
    """
    try:
        if opset < min(OPSET, Graph(model).opset):
            changed = _lowered(model, opset)
        else:
            changed = onnx.version_converter.convert_version(model, opset)
    except InputError:
        raise
    except Exception as error:  # the converter and the checker raise kinds of their own
        raise InputError(
            f"`opset` {opset}: the network cannot be written so ({_reason(error)}); choose another"
        ) from error
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
        raise InputError(
            f"{model.graph.name}: opset {opset} cannot be raised to {OPSET} ({_reason(error)}); "
            f"export the network again with opset {OPSET}"
        ) from error
    model.CopyFrom(raised)


def _lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Write the graph in an opset below 13, which onnx's own converter does not go down to.

    The operators of these networks mean the same in all of them, but for what is rewritten here;
    the checker refuses what did not exist.
    """
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    graph = Graph(model)
    for node in lowered.graph.node:
        if node.op_type in ("Softmax", "Concat"):
            _count_axis_from_the_front(node, graph)
        elif node.op_type == "Split" and len(node.input) > 1:
            sizes = graph.constants[node.input.pop()]
            node.attribute.append(onnx.helper.make_attribute("split", sizes.tolist()))
    del lowered.opset_import[:]
    lowered.opset_import.append(onnx.helper.make_opsetid("", opset))
    # Old readers refuse a newer version of the file itself too.
    lowered.ir_version = onnx.helper.find_min_ir_version_for(lowered.opset_import)
    del lowered.graph.value_info[:]
    onnx.checker.check_model(lowered, full_check=True)
    return lowered


def _count_axis_from_the_front(node: onnx.NodeProto, graph: Graph) -> None:
    """Opset 10 knows no negative axes, and 12's softmax is one over all axes from its axis on."""
    rank = len(graph.shape(node.input[0]))
    axis = int(attributes(node).get("axis", -1)) % rank
    if node.op_type == "Softmax" and axis != rank - 1:
        raise InputError(
            f"a softmax over axis {axis} of {rank} has no like below opset {OPSET}; choose that"
        )
    kept = [item for item in node.attribute if item.name != "axis"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("axis", axis)])


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
