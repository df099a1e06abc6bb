"""Arm Ethos-U: an INT8 TensorFlow Lite file compiled for the NPU by Arm's Vela.

An artifact is three files: the network in integers throughout, which any TensorFlow Lite runtime
runs and which the NPU computes bit by bit; what Vela made of it; and Vela's estimate.
"""

# Tested by tests/converters/ethosu/test_vela.py.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.converters.tflite import with_logistic
from ultraface_deploy.quantize.int8 import Goal, Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.quantize.plan import Plan


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.ethosu.vela import compile_for
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_deploy.converters.tflite.emit import emit_int8

    integers, compiled, report = (folder / f"{job.spec.name}{suffix}" for suffix in _SUFFIXES)
    model = load_network(job.files["onnxsim"][0])[1]
    integers.write_bytes(emit_int8(plan, model, job.spec, integer_tail=True))
    compile_for(job.accelerator, integers, compiled, report)
    return [integers, compiled, report]


def _estimate(files: Files) -> Mapping[str, Any]:
    from ultraface_deploy.converters.ethosu.vela import read_estimate

    return read_estimate(files[2])


_SUFFIXES = (".ethosu.tflite", ".vela.tflite", ".vela.json")

FORMAT = Format(
    name="ethosu",
    suffixes=_SUFFIXES,
    source="onnxsim",
    precisions={
        # No layer stays in FP32: it would be left to the processor beside the NPU.
        "int8": Int8(
            emit=_emit,
            share=0.7,
            rewrite=with_logistic,
            budgets=(0,),
            goal=Goal(f1=0.98, score_error=0.035),
        )
    },
    packages=("ethosu", "ai_edge_litert", "onnx", "onnxsim"),
    extra="ethosu",
    in_all=False,
    estimate=_estimate,
)
