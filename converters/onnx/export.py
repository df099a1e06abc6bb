"""torch -> ONNX."""

# Tested by tests/converters/onnx/test_prepare.py.

from __future__ import annotations

import io
import warnings

import onnx

from ultraface_deploy.converters.onnx.opset import OPSET
from ultraface_deploy.family.spec import ModelSpec


def export(net: object, spec: ModelSpec) -> onnx.ModelProto:
    """Export a torch network with the raw head at the spec's input size."""
    import torch

    from ultraface_deploy.family.nets import RawHead, UltraFace

    if not isinstance(net, UltraFace):
        raise TypeError(f"expected an UltraFace network, got {type(net).__name__}")
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter is deprecated, but its graph is the one the converters know.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            RawHead(net).eval(),
            (torch.zeros(spec.input_shape),),
            buffer,  # type: ignore[arg-type]  # a file object is fine for this exporter
            input_names=["input"],
            output_names=list(spec.outputs),
            opset_version=OPSET,
            dynamo=False,
        )
    model: onnx.ModelProto = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        node.name = node.name.removeprefix("/net")
    return model
