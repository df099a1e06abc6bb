"""Core ML: an `.mlpackage` with an ML program for iOS 16, macOS 13 and later."""

# Tested by tests/converters/coreml/test_coreml.py.

from __future__ import annotations

from ultraface_deploy.converters.base import Conversion, Files, Format
from ultraface_deploy.family.spec import ModelSpec


def _convert(job: Conversion) -> None:
    from ultraface_deploy.converters.coreml.convert import convert_onnx

    convert_onnx(job.sources[0], job.outputs, job.spec, job.precision)


def _check(files: Files) -> None:
    from ultraface_deploy.converters.coreml.read import check

    check(files)


def _stated_spec(files: Files) -> ModelSpec | None:
    from ultraface_deploy.converters.coreml.read import stated_spec

    return stated_spec(files[0])


_PACKAGE = ".mlpackage"
_DATA = f"{_PACKAGE}/Data/com.apple.CoreML"

FORMAT = Format(
    name="coreml",
    suffixes=(
        f"{_DATA}/model.mlmodel",
        f"{_DATA}/weights/weight.bin",
        f"{_PACKAGE}/Manifest.json",
    ),
    source="onnxsim",
    # Core ML takes integers for weights and computes in floats.
    precisions={"fp32": _convert, "fp16": _convert, "w8": _convert},
    packages=("coremltools", "onnx", "onnxsim"),
    extra="coreml",
    in_all=False,
    check=_check,
    stated_spec=_stated_spec,
)
