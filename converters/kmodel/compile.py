"""Calling nncase: network and photographs in, a `.kmodel` and what it says of its memory out."""

# Tested by tests/converters/kmodel/test_kmodel.py.

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ultraface_deploy.backends.k210 import SCRIPT
from ultraface_deploy.converters.onnx.handed import hand_inputs, hand_network
from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Plan
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.files import read_text
from ultraface_deploy.safe.limits import Limit

_TIMEOUT_S = 900.0
# More make the ranges no better, and each takes half a second.
_IMAGES = 32
_MAGIC = b"LDMK"
_TOTAL = re.compile(r"^TOTAL\s.*\((\d+) B\)", re.MULTILINE)


def compile_for_k210(plan: Plan, job: Int8Job, files: Sequence[Path]) -> None:
    """Compile the network of a plan.

    Args:
        plan: its network, which nncase quantises.
        job: the photographs that nncase takes ranges from.
        files: the model and the report to write.

    Raises:
        MissingDependency: nncase is not installed.
        ToolFailed: nncase failed, or left no file.
    """
    python = toolbox.require("k210")
    folder = files[0].parent / "nncase"
    folder.mkdir()
    try:
        hand_network(plan, job, folder / "network.onnx")
        images = hand_inputs(job, folder / "inputs.npy", _IMAGES)
        said = run_program(
            [str(python), "-I", str(SCRIPT), "compile"],
            what="nncase",
            cwd=folder,
            timeout=_TIMEOUT_S,
        )
        made, total = folder / "network.kmodel", _TOTAL.search(said)
        if not made.is_file() or total is None:
            raise ToolFailed("nncase ended without a file, or without its report")
        report = {
            "by": "nncase, not measured",
            "chip": "k210",
            "memory_bytes": int(total[1]),
            "calibration_images": images,
        }
        files[1].write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        shutil.move(made, files[0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(files: Sequence[Path]) -> None:
    """Refuse what is no `.kmodel`.

    Raises:
        InputError: it does not begin like one.
    """
    Limit.MODEL.check(files[0])
    with files[0].open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"{files[0]}: not a .kmodel, or damaged; convert again")


def read_report(report: Path) -> Mapping[str, Any]:
    """Read what `compile_for_k210` wrote."""
    found: Mapping[str, Any] = json.loads(read_text(report))
    return found
