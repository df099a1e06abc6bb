"""Rockchip's NPUs: `.rknn` in INT8, cut at the head's convolutions, by its maker's rknn-toolkit2.

An artifact is the file for the chip, and what the simulator needs, which runs no such file: the
network that it was compiled from, and the ranges that it was quantised with.
"""

# Tested by tests/converters/rknn/test_rknn.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.converters.rknn.chips import CHIPS
from ultraface_deploy.quantize.int8 import Goal, Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.quantize.plan import Plan


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.rknn.compile import compile_for_rockchip

    files = [folder / f"{job.spec.name}{suffix}" for suffix in _SUFFIXES]
    compile_for_rockchip(plan, job, files)
    return files


def _check(files: Files) -> None:
    from ultraface_deploy.converters.rknn.compile import check

    check(files)


_SUFFIXES = (".rknn", ".rknn.onnx", ".rknn.json")

FORMAT = Format(
    name="rknn",
    suffixes=_SUFFIXES,
    source="onnxsim",
    precisions={
        # Of the three files one goes to the board, two thirds of FP32: half of it is for the chip.
        "int8": Int8(emit=_emit, share=2.0, budgets=(0,), goal=Goal(f1=0.98, score_error=0.05))
    },
    packages=("onnx", "onnxsim"),
    extra="onnx",
    check=_check,
    in_all=False,
    tool="rknn",
    heads=("raw",),
    chips=CHIPS,
)
