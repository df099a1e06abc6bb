"""Espressif's ESP32-P4: `.espdl` in INT8, cut at the head's convolutions, for its ESP-DL.

The numbers are ours: scales that are powers of two, and biases corrected for them. Its maker's
esp-ppq writes them down, in an environment of its own. The file is read back, and must compute what
esp-ppq's executor computes.
"""

# Tested by tests/converters/espdl/test_espdl.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.int8 import Goal, Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.quantize.plan import Plan


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.espdl.compile import compile_for_espressif

    file = folder / f"{job.spec.name}{_SUFFIX}"
    compile_for_espressif(plan, job, FORMAT.chip(job.chip), file)
    return [file]


def _check(files: Files) -> None:
    from ultraface_deploy.backends.edl import Program

    Program.read(files[0])


def _stated_spec(files: Files) -> ModelSpec | None:
    from ultraface_deploy.converters.espdl.compile import stated_spec

    return stated_spec(files[0])


_SUFFIX = ".espdl"

FORMAT = Format(
    name="espdl",
    suffixes=(_SUFFIX,),
    source="onnxsim",
    precisions={
        "int8": Int8(emit=_emit, share=0.5, budgets=(0,), goal=Goal(f1=0.98, score_error=0.05))
    },
    packages=("onnx", "onnxsim"),
    extra="onnx",
    check=_check,
    stated_spec=_stated_spec,
    in_all=False,
    tool="esp",
    heads=("raw",),
    chips=("esp32p4",),
    # Branches that are joined were compared by nobody on this format.
    architectures=("slim",),
    refused_chips={
        "esp32s3": "one scale for all channels of a weight is too coarse for these networks: in 8 "
        "bits their faces have F1 .964 and a mean IoU of .844, and .97 and .93 are asked for",
    },
)
