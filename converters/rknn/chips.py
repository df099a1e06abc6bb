"""The chips that a `.rknn` is compiled for."""

# Tested by tests/converters/rknn/test_rknn.py.

from __future__ import annotations

from typing import Literal, get_args

from ultraface_deploy.errors import InputError

Chip = Literal["rk3588", "rk3566", "rk3568", "rv1106"]
CHIPS: tuple[Chip, ...] = get_args(Chip)


def require_chip(name: str) -> Chip:
    """Read `--chip`.

    Raises:
        InputError: names those that there are.
    """
    for chip in CHIPS:
        if name == chip:
            return chip
    raise InputError(f"`chip` {name}: unknown; choose from {', '.join(CHIPS)}")
