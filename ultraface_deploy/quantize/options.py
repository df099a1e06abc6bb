"""What can become INT8, and what the user says about how. Imports no runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.ranges import METHODS


@dataclass(frozen=True)
class Target:
    """A format that has INT8: what runs it, what it is made from, and how large it may become."""

    backend: str
    sources: tuple[str, ...]
    max_bytes: int


TARGETS = {
    "onnx": Target("onnxruntime", ("onnxsim",), 470_000),
    "mnn": Target("mnn", ("onnxsim",), 350_000),
    "ncnn": Target("ncnn", ("onnxsim", "ncnn"), 350_000),
}


@dataclass(frozen=True)
class Int8Options:
    """What the user says about quantisation.

    Attributes:
        calibration: a folder of photographs, a calibration table, or a `.table` of ncnn2table;
            None for the table that ships with an embedded model.
        images: how many photographs to calibrate on, and as many to judge on.
        validation: a folder to judge on; None for photographs of the calibration folder that were
            not calibrated on, or else those that ship.
        ground_truth: folder of WIDER FACE ground truth for `validation`, to bound the loss of AP.
        ranges: a method of `ranges.METHODS` in place of those that are tried.
        keep: layers that stay FP32 in every candidate.
        budget_s: seconds to search for each runtime.
    """

    calibration: Path | None = None
    images: int = 200
    validation: Path | None = None
    ground_truth: Path | None = None
    ranges: str | None = None
    keep: tuple[str, ...] = ()
    budget_s: float = 75.0

    def __post_init__(self) -> None:
        if self.ranges is not None and self.ranges not in METHODS:
            raise InputError(f"--ranges {self.ranges}: unknown; choose from {', '.join(METHODS)}")
        if self.images < 1:
            raise InputError(f"--calibration-images {self.images}: at least one is needed")
        if self.ground_truth is not None and self.validation is None:
            raise InputError("--ground-truth needs --validation, the folder of its images")


def int8_target(format: str) -> Target:
    """Return how a format becomes INT8.

    Raises:
        InputError: it has no INT8.
    """
    if format not in TARGETS:
        raise InputError(f"--to {format} does not offer int8; these do: {', '.join(TARGETS)}")
    return TARGETS[format]


def where_it_pays(format: str) -> str:
    """Say on which cores INT8 is faster than FP32 and where that was measured."""
    if format == "mnn":
        return (
            "INT8 in MNN pays on cores with dot products (Cortex-A76 and newer: 23 % fewer "
            "instructions than FP32) and for size; a Cortex-A53 or A72 executes as many, and x86 "
            "is slower (slim-320, one thread, Arm instructions counted in emulation)"
        )
    if format == "ncnn":
        return (
            "INT8 in ncnn pays on a Cortex-A53 (31 % fewer instructions than FP32), on cores with "
            "dot products (Cortex-A76: 29 % fewer) and for size; x86 with VNNI is about as fast, a "
            "Cortex-A72 executes 12 % more (slim-320, one thread, Arm instructions counted in "
            "emulation)"
        )
    return (
        "INT8 in ONNX Runtime is for size unless your core has dot products (Cortex-A76 and newer, "
        "AVX-512 VNNI); compare before you rely on it: ultraface-deploy bench"
    )
