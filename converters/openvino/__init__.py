"""OpenVINO: its intermediate representation, an `.xml` and a `.bin`, in FP32, FP16 and INT8."""

# Tested by tests/converters/openvino/test_openvino.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Conversion, Files, Format
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.int8 import Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.quantize.plan import Plan


def _convert(job: Conversion) -> None:
    from ultraface_deploy.converters.openvino.convert import convert_onnx

    convert_onnx(job.sources[0], job.outputs, job.spec, half=job.precision == "fp16")


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_deploy.converters.openvino.convert import convert_plan

    files = [folder / f"{job.spec.name}{suffix}" for suffix in _SUFFIXES]
    model = load_network(job.files["onnxsim"][0])[1]
    convert_plan(plan, model, files, job.spec, folder)
    return files


def _check(files: Files) -> None:
    from ultraface_deploy.converters.openvino.read import check

    check(files)


def _stated_spec(files: Files) -> ModelSpec | None:
    from ultraface_deploy.converters.openvino.read import stated_spec

    return stated_spec(files[0])


def _stored_precision(files: Files) -> Precision:
    from ultraface_deploy.converters.openvino.read import stored_precision

    return stored_precision(files[0])


_SUFFIXES = (".openvino.xml", ".openvino.bin")

FORMAT = Format(
    name="openvino",
    suffixes=_SUFFIXES,
    source="onnxsim",
    precisions={
        "fp32": _convert,
        "fp16": _convert,
        # The description of the graph is half of such a file, and has more to say in INT8.
        "int8": Int8(emit=_emit, share=0.5),
    },
    packages=("openvino", "onnx", "onnxsim"),
    extra="openvino",
    in_all=False,
    check=_check,
    stated_spec=_stated_spec,
    stored_precision=_stored_precision,
)
