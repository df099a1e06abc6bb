"""FP16 weights and arithmetic; input and outputs stay FP32, so that nothing around it changes."""

from __future__ import annotations

from pathlib import Path

import onnx

from ultraface_deploy.converters.onnx.files import load, save
from ultraface_deploy.errors import InputError


def to_half(source: Path, output: Path) -> None:
    """Write a simplified ONNX file in FP16.

    Raises:
        InputError: no readable ONNX file.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half: onnx.ModelProto = convert_float_to_float16(load(source), keep_io_types=True)
    # Inner shapes are those of FP32 tensors; runtimes find them again.
    del half.graph.value_info[:]
    _sort(half.graph)
    save(half, output)


def _sort(graph: onnx.GraphProto) -> None:
    """Put every node after those that it reads: the casts of the input were added at the end."""
    made = {value.name for value in graph.input} | {value.name for value in graph.initializer}
    waiting, ordered = list(graph.node), list[onnx.NodeProto]()
    while waiting:
        ready = [node for node in waiting if made.issuperset(filter(None, node.input))]
        if not ready:
            raise InputError("the FP16 graph has a circle; convert from another opset")
        for node in ready:
            made.update(node.output)
        ordered += ready
        waiting = [node for node in waiting if node not in ready]
    del graph.node[:]
    graph.node.extend(ordered)
