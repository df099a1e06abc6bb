"""The number formats an artifact can be stored in: a name and a record each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ultraface_deploy.errors import InputError

Precision = Literal["fp32", "fp16", "int8", "w8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from the original network.

    `scores` and `boxes` bound the largest absolute difference of the output tensors (boxes as raw
    offsets); None where only the faces count.
    """

    scores: float | None
    boxes: float | None
    f1: float = 1.0
    mean_iou: float = 0.99


@dataclass(frozen=True)
class PrecisionRecord:
    """What a precision means wherever it is met.

    Attributes:
        tolerance: how far an artifact may be off on a runtime that does not say otherwise.
        macs: multiply-accumulates of one 128-bit instruction on an Arm core without and with half
            floats and dot products (FMLA on 4 floats or 8 halves; SMLAL 8, SDOT 16).
    """

    tolerance: Tolerance
    macs: tuple[int, int]


_RECORDS: dict[Precision, PrecisionRecord] = {
    # Several times what was measured on photographs for both networks from 128x96 to 1280x960.
    "fp32": PrecisionRecord(Tolerance(5e-5, 5e-4), (4, 4)),
    "fp16": PrecisionRecord(Tolerance(3e-2, 5e-1, f1=0.98, mean_iou=0.97), (4, 8)),
    "int8": PrecisionRecord(Tolerance(None, None, f1=0.97, mean_iou=0.93), (8, 16)),
    # Weights in 8 bits, arithmetic in FP32: saves size and never time.
    "w8": PrecisionRecord(Tolerance(None, None, f1=0.97, mean_iou=0.93), (4, 4)),
}


def parse_precision(text: str) -> Precision:
    """Read a precision by name.

    Raises:
        InputError: there is none of that name.
    """
    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise InputError(f"precision {text!r} is unknown; choose from {', '.join(PRECISIONS)}")


def precision_record(name: str) -> PrecisionRecord:
    """Return the record of a precision.

    Raises:
        InputError: there is none of that name.
    """
    return _RECORDS[parse_precision(name)]
