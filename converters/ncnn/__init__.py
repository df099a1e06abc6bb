"""ncnn: `.param` and `.bin`, through pnnx or our own writer; INT8 always through our own."""

# Tested by tests/converters/test_formats.py.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.converters.ncnn.convert import to_ncnn
from ultraface_deploy.quantize.int8 import Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.quantize.network import Network
    from ultraface_deploy.quantize.plan import Plan


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.ncnn.int8 import NcnnModel, emit_ncnn

    name = job.spec.name
    param, weights = folder / f"{name}.ncnn.param", folder / f"{name}.ncnn.bin"
    own_param, own_weights = job.files["ncnn"]
    text, content = emit_ncnn(plan, NcnnModel.load(own_param, own_weights, job.network))
    param.write_text(text)
    weights.write_bytes(content)
    return [param, weights]


def _read_plan(table: Path, job: Int8Job) -> Plan:
    from ultraface_deploy.converters.ncnn.files import read_table
    from ultraface_deploy.converters.ncnn.int8 import NcnnModel, plan_from_table

    param, weights = job.files["ncnn"]
    model = NcnnModel.load(param, weights, job.network)
    return plan_from_table(job.network, model, read_table(table))


def _depthwise(network: Network) -> Iterator[str]:
    """The depthwise layers, which in ncnn are better off in FP32.

    Its INT8 kernels for them make the whole network take twice the instructions on Arm, and
    on x86 multiply by an approximate reciprocal (`_mm_rcp_ps` in convolutiondepthwise_x86.cpp),
    so that an artifact found other scores there than on Arm, by up to 0.03.
    """
    return (layer.name for layer in network.layers if layer.depthwise)


def _input_size(files: Files) -> tuple[int, int] | None:
    from ultraface_deploy.converters.ncnn.files import input_size

    return input_size(files[0])


def _stored_precision(files: Files) -> Precision:
    from ultraface_deploy.converters.ncnn.files import stored_precision

    return stored_precision(files)


FORMAT = Format(
    name="ncnn",
    suffixes=(".ncnn.param", ".ncnn.bin"),
    source="onnxsim",
    precisions={
        "fp32": to_ncnn,
        "fp16": to_ncnn,
        "int8": Int8(
            emit=_emit,
            share=0.34,
            sources=("ncnn",),
            keep=_depthwise,
            plan_suffix=".table",
            read_plan=_read_plan,
        ),
    },
    packages=("ncnn", "onnx", "onnxsim"),
    extra="ncnn",
    input_size=_input_size,
    stored_precision=_stored_precision,
)
