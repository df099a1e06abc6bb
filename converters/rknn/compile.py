"""Calling rknn-toolkit2: network and photographs in, a `.rknn` and its ranges out."""

# Tested by tests/converters/rknn/test_rknn.py.

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ultraface_deploy.backends.rknn import SCRIPT
from ultraface_deploy.converters.onnx.handed import hand_inputs, hand_network
from ultraface_deploy.converters.rknn.chips import CHIPS, Chip
from ultraface_deploy.errors import InputError, ToolFailed
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.maps import map_outputs
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Plan
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.child import run_program
from ultraface_deploy.safe.files import write_text
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import SCHEMA, Version, encode, read

_TIMEOUT_S = 900.0
_IMAGES = 48
_MAGIC = b"RKNN"


@dataclass(frozen=True)
class Job:
    """What the toolkit is told; `ranges` are (low, high) of each tensor, as it has found them.

    `mean` and `std` are of each colour, `outputs` what the outputs are called in their order.
    """

    schema: Version
    chip: Chip
    width: int
    height: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    outputs: tuple[str, ...]
    ranges: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]


def compile_for_rockchip(plan: Plan, job: Int8Job, files: Sequence[Path]) -> None:
    """Compile the network of a plan.

    Args:
        plan: its network, which the toolkit quantises.
        job: the chip, and the photographs that the toolkit takes ranges from.
        files: the `.rknn`, the network that it is compiled from, and the ranges, to write.

    Raises:
        MissingDependency: the toolkit is not installed.
        InputError: the network cannot be cut at its convolutions.
        ToolFailed: the toolkit failed, or left no file.
    """
    chip = next((each for each in CHIPS if each == job.chip), CHIPS[0])
    python = toolbox.require("rknn")
    folder = files[0].parent / "rknn"
    folder.mkdir()
    told = _told(job.spec, chip)
    try:
        hand_network(plan, job, folder / "network.onnx", at_convolutions=True)
        hand_inputs(job, folder / "inputs.npy", _IMAGES)
        _as_pixels(folder / "inputs.npy", job.spec)
        write_text(folder / "job.json", encode(told))
        run_program(
            [str(python), "-I", str(SCRIPT), "compile"],
            what="rknn-toolkit2",
            cwd=folder,
            timeout=_TIMEOUT_S,
        )
        made, ranges = folder / "network.rknn", folder / "ranges.json"
        if not (made.is_file() and ranges.is_file()):
            raise ToolFailed("rknn-toolkit2 ended without its files")
        known = json.loads(encode(told)) | {"ranges": json.loads(ranges.read_text())}
        write_text(files[2], json.dumps(known) + "\n")
        shutil.move(made, files[0])
        shutil.move(folder / "network.onnx", files[1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(spec: ModelSpec, chip: Chip) -> Job:
    outputs = tuple(each.name for each in map_outputs(spec))
    return Job(SCHEMA, chip, spec.width, spec.height, spec.mean, spec.std, outputs, {})


def _as_pixels(inputs: Path, spec: ModelSpec) -> None:
    """Undo the normalisation, which the `.rknn` does by itself."""
    mean, std = (np.reshape(each, (1, -1, 1, 1)) for each in (spec.mean, spec.std))
    np.save(inputs, np.rint(np.load(inputs) * std + mean).clip(0, 255).astype(np.float32))


def check(files: Sequence[Path]) -> None:
    """Refuse files that are damaged.

    Raises:
        InputError: no `.rknn`, or no description of one.
    """
    for file in files:
        Limit.MODEL.check(file)
    with files[0].open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"{files[0]}: not a .rknn, or damaged; convert again")
    read(files[2], Job, "description of a .rknn", "convert again")
