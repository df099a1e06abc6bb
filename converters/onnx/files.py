"""Reading and writing ONNX files, checked."""

# Tested by tests/converters/onnx/test_prepare.py.

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference
from onnx import numpy_helper

from ultraface_deploy.converters.onnx.header import refuse_external_data
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.kinds import MAKE_AGAIN, damaged


def load(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file.

    Raises:
        InputError: it is not an ONNX file, damaged, or keeps its weights in other files.
    """
    refuse_external_data(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        _give_types(model)
        sort_nodes(model.graph)
        onnx.checker.check_model(model)
        bad = next((tensor for tensor in model.graph.initializer if not _is_finite(tensor)), None)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    numpy_helper.to_array(attribute.t)
    except Exception as error:  # protobuf and the checker share no base class
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else "unreadable"
        raise InputError(f"{path}: {damaged(path, 'ONNX model', reason)}") from error
    if not model.graph.node:
        raise InputError(f"{path}: {damaged(path, 'ONNX model', 'no nodes')}")
    if bad is not None:
        raise InputError(f"{path}: {bad.name} holds values that are not finite; {MAKE_AGAIN}")
    return model


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put every node after those that it reads; ONNX Runtime sorts by itself, the checker does not.

    Its own conversion to FP16 writes such files.

    Raises:
        CycleError: a node reads what is made of its own output.
    """
    makers = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    read = {
        at: {makers[name] for name in node.input if name in makers}
        for at, node in enumerate(graph.node)
    }
    if all(at > max(before, default=-1) for at, before in read.items()):
        return
    ordered = [graph.node[at] for at in TopologicalSorter(read).static_order()]
    bare = onnx.GraphProto()
    bare.node.extend(ordered)
    del graph.node[:]
    graph.node.extend(bare.node)


def _give_types(model: onnx.ModelProto) -> None:
    """Give a type to outputs that are listed without one; runtimes run them, the checker does not.

    What no inference finds a type for is dropped: it is not one of the network's outputs.
    """
    graph = model.graph
    typed = [value for value in graph.value_info if value.HasField("type")]
    if len(typed) < len(graph.value_info):
        del graph.value_info[:]
        graph.value_info.extend(typed)
    if all(value.HasField("type") for value in graph.output):
        return
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    kept = [value for value in bare.graph.output if value.HasField("type")]
    del bare.graph.output[:]
    bare.graph.output.extend(kept)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    known = {value.name: value for value in (*inferred.value_info, *inferred.output)}
    found = [known.get(value.name, value) for value in graph.output]
    del graph.output[:]
    graph.output.extend(value for value in found if value.HasField("type"))


def _is_finite(tensor: onnx.TensorProto) -> bool:
    values = numpy_helper.to_array(tensor)
    return not np.issubdtype(values.dtype, np.floating) or bool(np.isfinite(values).all())


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check a model and write it."""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
