"""ONNX -> simplified ONNX: constants folded, BatchNorm fused, nothing left to trip a converter."""

# Tested by tests/converters/onnx/test_prepare.py.

from __future__ import annotations

import sys
from pathlib import Path

from ultraface_deploy.converters.base import Conversion, Files, Format
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
    # onnxsim imports them where it finds them, most of its time, and needs them for nothing that is
    # done here: as far as this process can see there are none.
    for name in ("torch", "sympy"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    import onnxsim

    from ultraface_deploy.converters.onnx.files import load, save
    from ultraface_deploy.converters.onnx.metadata import read_spec
    from ultraface_deploy.converters.onnx.prepare import prepare

    model = load(Path(source))
    spec = read_spec(model)
    simplified, checked = onnxsim.simplify(model)
    if not checked:
        raise ToolFailed("onnxsim changed the network's outputs")
    if spec is not None:
        simplified = prepare(simplified, spec, spec)
    save(simplified, Path(output))


def _check(files: Files) -> None:
    from ultraface_deploy.converters.onnx.header import refuse_external_data

    refuse_external_data(files[0])


FORMAT = Format(
    name="onnxsim",
    suffixes=(".sim.onnx",),
    source="onnx",
    precisions={"fp32": _convert},
    packages=("onnx", "onnxsim"),
    extra="onnx",
    check=_check,
    heads=("raw", "decoded", "conv"),
)
