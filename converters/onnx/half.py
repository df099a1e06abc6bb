"""FP16 weights and arithmetic; input and outputs stay FP32, so that nothing around it changes.

And back: what is made of other people's FP16 file is made of the same weights in FP32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ultraface_deploy.converters.onnx.files import load, save, sort_nodes


def to_half(source: Path, output: Path) -> None:
    """Write a simplified ONNX file in FP16.

    Raises:
        InputError: no readable ONNX file.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half: onnx.ModelProto = convert_float_to_float16(load(source), keep_io_types=True)
    # Inner shapes are those of FP32 tensors; runtimes find them again.
    del half.graph.value_info[:]
    # The casts of the input were added at the end.
    sort_nodes(half.graph)
    save(half, output)


def to_float(graph: onnx.GraphProto) -> None:
    """Turn a network in FP16 into one that computes in FP32 with the same weights."""
    for tensor in graph.initializer:
        _widen(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if attribute.HasField("g"):
                to_float(attribute.g)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
