"""ONNX -> simplified ONNX: constants folded, BatchNorm fused, nothing left to trip a converter."""

from __future__ import annotations

from pathlib import Path

from ultraface_deploy.converters.base import Conversion, Converter
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.safe.child import run_in_child


def _convert(job: Conversion) -> None:
    run_in_child(
        "ultraface_deploy.converters.onnx.simplify:simplify_file",
        {"source": str(job.sources[0]), "output": str(job.outputs[0])},
        what="onnxsim",
    )
    if not job.outputs[0].is_file():
        raise ToolFailed("onnxsim ended without a file")


def simplify_file(source: str, output: str) -> None:
    """Simplify one file into another; runs in a child process."""
    import onnxsim

    from ultraface_deploy.converters.onnx import graph as onnx_files

    model = onnx_files.load(Path(source))
    spec = onnx_files.read_spec(model)
    simplified, checked = onnxsim.simplify(model)
    if not checked:
        raise ToolFailed("onnxsim changed the network's outputs")
    if spec is not None:
        simplified = onnx_files.prepare(simplified, spec, spec)
    onnx_files.save(simplified, Path(output))


CONVERTER = Converter(
    format="onnxsim",
    source="onnx",
    suffixes=(".sim.onnx",),
    precisions=("fp32",),
    packages=("onnx", "onnxsim"),
    extra="onnx",
    run=_convert,
)
