"""Which members of the family the C file stands for."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec


def refuse_other_members(spec: ModelSpec) -> None:
    """Refuse what the C file would leave out in silence.

    Raises:
        InputError: says what it is that C does not do.
    """
    mean = spec.mean[0]
    reasons = {
        "landmarks": bool(spec.landmarks),
        f"{spec.color.upper()} input": spec.color != "rgb",
        "anchors half a stride from the corner": spec.anchors.centers != "map",
        "anchors beyond the input": not spec.anchors.clip,
        f"a mean of {spec.mean}": set(spec.mean) != {mean} or mean != round(mean),
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(f"format c: {spec.name} has {reason}, which the C file cannot do yet")
