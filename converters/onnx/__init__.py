"""ONNX: from a checkpoint, or from other people's files. `simplify` is a format of its own."""

# Tested by tests/converters/onnx/test_prepare.py.

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Conversion, Files, Format
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.int8 import Int8, Int8Job

if TYPE_CHECKING:
    import onnx

    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.quantize.plan import Plan


def _convert(job: Conversion) -> None:
    from ultraface_deploy.converters.onnx.export import export
    from ultraface_deploy.converters.onnx.files import save
    from ultraface_deploy.converters.onnx.prepare import prepare
    from ultraface_deploy.family.checkpoint import load_checkpoint

    raw = replace(job.spec, head="raw")
    model = export(load_checkpoint(job.sources[0], job.spec.name, size_known=True).build(), raw)
    save(prepare(model, raw, job.spec), job.outputs[0])


def _halve(job: Conversion) -> None:
    from ultraface_deploy.converters.onnx.half import to_half

    to_half(job.sources[0], job.outputs[0])


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    import onnx

    from ultraface_deploy.converters.onnx.int8 import emit_onnx
    from ultraface_deploy.converters.onnx.network import load_network

    file = folder / f"{job.spec.name}.onnx"
    onnx.save(emit_onnx(plan, load_network(job.files["onnxsim"][0])[1]), file)
    return [file]


def _check(files: Files) -> None:
    from ultraface_deploy.converters.onnx.header import refuse_external_data

    refuse_external_data(files[0])


def _stated_spec(files: Files) -> ModelSpec | None:
    from ultraface_deploy.converters.onnx.header import stated_spec

    return stated_spec(files[0])


def _input_size(files: Files) -> tuple[int, int] | None:
    from ultraface_deploy.converters.onnx.header import input_size

    return input_size(files[0])


def _channels(files: Files) -> int:
    from ultraface_deploy.converters.onnx.header import input_channels

    return input_channels(files[0])


def _stored_precision(files: Files) -> Precision:
    from ultraface_deploy.converters.onnx.header import stored_precision

    return stored_precision(files[0])


def _adopt(files: Files) -> onnx.ModelProto:
    from ultraface_deploy.converters.onnx.files import load

    return load(files[0])


FORMAT = Format(
    name="onnx",
    suffixes=(".onnx",),
    source="torch",
    precisions={
        "fp32": _convert,
        "fp16": _halve,
        "int8": Int8(
            emit=_emit,
            share=0.45,
        ),
    },
    packages=("torch", "onnx"),
    check=_check,
    stated_spec=_stated_spec,
    input_size=_input_size,
    channels=_channels,
    stored_precision=_stored_precision,
    adopt=_adopt,
    sources={"fp16": "onnxsim"},
    heads=("raw", "decoded", "conv"),
)
