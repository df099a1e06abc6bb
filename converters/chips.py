"""Which chips the asked formats are compiled for."""

# Tested by tests/converters/espdl/test_espdl.py.

from __future__ import annotations

from collections.abc import Sequence

from ultraface_deploy.converters import format_names, get_format
from ultraface_deploy.errors import InputError


def require_chip(chip: str | None, targets: Sequence[str]) -> None:
    """Refuse a chip that none of the targets is compiled for; None is each format's default.

    Raises:
        InputError: names those that there are, or says why this one is not offered.
    """
    if chip is None:
        return
    records = [get_format(name) for name in targets if name != "all"]
    offering = [record for record in records if record.chips]
    if any(chip in record.chips for record in offering):
        return
    for record in offering:
        if chip in record.refused_chips:
            raise InputError(
                f"`chip` {chip}: not offered: {record.refused_chips[chip]}; "
                f"choose from {', '.join(record.chips)}"
            )
    if not offering:
        compiled = [name for name in format_names() if get_format(name).chips]
        raise InputError(
            f"`chip` {chip}: {', '.join(targets)} is not compiled for a chip; choose from "
            f"{', '.join(compiled)}"
        )
    known = ", ".join(chip for record in offering for chip in record.chips)
    raise InputError(f"`chip` {chip}: unknown; choose from {known}")
