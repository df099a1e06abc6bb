"""The number formats an artifact can be stored in."""

from __future__ import annotations

from typing import Literal, get_args

from ultraface_deploy.errors import InputError

# w8: weights in 8 bits, arithmetic in FP32; saves size and never time.
Precision = Literal["fp32", "fp16", "int8", "w8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def parse_precision(text: str) -> Precision:
    """Read a precision by name.

    Raises:
        InputError: there is none of that name.
    """
    for precision in PRECISIONS:
        if text == precision:
            return precision
    raise InputError(f"precision {text!r} is unknown; there are {', '.join(PRECISIONS)}")
