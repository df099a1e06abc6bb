"""FP16 weights and arithmetic; input and outputs stay FP32, so that nothing around it changes."""

from __future__ import annotations

from pathlib import Path

import onnx

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
