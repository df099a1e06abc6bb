"""The chips that a `.rknn` is compiled for."""

# Tested by tests/converters/rknn/test_rknn.py.

from __future__ import annotations

from typing import Literal, get_args

Chip = Literal["rk3588", "rk3566", "rk3568", "rv1106"]
CHIPS: tuple[Chip, ...] = get_args(Chip)
