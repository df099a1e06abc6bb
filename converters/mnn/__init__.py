"""MNN: through the tools inside its wheel."""

# Tested by tests/converters/test_formats.py.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.converters.mnn.convert import OPTIONS, to_mnn
from ultraface_deploy.quantize.int8 import Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.quantize.plan import Plan
    from ultraface_deploy.quantize.search import Candidate


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.mnn.int8 import emit_mnn
    from ultraface_deploy.converters.onnx.network import load_network

    file = folder / f"{job.spec.name}.mnn"
    emit_mnn(plan, load_network(job.files["onnxsim"][0])[1], file)
    return [file]


def _others(job: Int8Job) -> Iterator[Candidate]:
    from ultraface_deploy.converters.mnn.tool import candidates

    return candidates(job)


def _stored_precision(files: Files) -> Precision:
    from ultraface_deploy.converters.mnn.read import stored_precision

    return stored_precision(files[0])


FORMAT = Format(
    name="mnn",
    suffixes=(".mnn",),
    source="onnxsim",
    precisions={
        **dict.fromkeys(OPTIONS, to_mnn),
        "int8": Int8(
            emit=_emit,
            share=0.34,
            # In half floats a layer costs less than the conversions around one in INT8: counted on
            # an A76, slim-320: 26.3 million instructions at 8,000, 24.7 at 12,000, 25.0 at 20,000.
            budgets_in_halves=(12_000, 20_000, 32_000, 64_000),
            others=_others,
        ),
    },
    packages=("MNN", "onnx", "onnxsim"),
    extra="mnn",
    stored_precision=_stored_precision,
)
