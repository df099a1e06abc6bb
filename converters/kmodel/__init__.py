"""Kendryte K210: `.kmodel` in INT8, compiled by its maker's nncase in an environment of its own.

An artifact is the model and what nncase says of its memory. nncase finds the ranges itself, over
photographs, of a network that our plan has rewritten.
"""

# Tested by tests/converters/kmodel/test_kmodel.py.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.quantize.int8 import Goal, Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.quantize.plan import Plan


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.kmodel.compile import compile_for_k210

    files = [folder / f"{job.spec.name}{suffix}" for suffix in _SUFFIXES]
    compile_for_k210(plan, job, files)
    return files


def _check(files: Files) -> None:
    from ultraface_deploy.converters.kmodel.compile import check

    check(files)


def _estimate(files: Files) -> Mapping[str, Any]:
    from ultraface_deploy.converters.kmodel.compile import read_report

    return read_report(files[1])


_SUFFIXES = (".kmodel", ".kmodel.json")

FORMAT = Format(
    name="kmodel",
    suffixes=_SUFFIXES,
    source="onnxsim",
    precisions={
        # The chip computes in 8 bits alone.
        "int8": Int8(
            emit=_emit,
            share=0.4,
            budgets=(0,),
            goal=Goal(f1=0.98, score_error=0.05),
        )
    },
    packages=("onnx", "onnxsim"),
    extra="onnx",
    check=_check,
    in_all=False,
    estimate=_estimate,
    tool="k210",
)
