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
    from_python = "convert to another format, and run that from Python"
    as_project = "convert to ncnn or mnn, which `package` builds into a C++ project too"
    reasons = {
        "landmarks": (bool(spec.landmarks), from_python),
        "anchors half a stride from the corner": (spec.anchors.centers != "map", from_python),
        "anchors beyond the input": (not spec.anchors.clip, from_python),
        f"{spec.color.upper()} input": (spec.color != "rgb", as_project),
        f"a mean of {spec.mean}": (set(spec.mean) != {mean} or mean != round(mean), as_project),
    }
    for reason, (holds, instead) in reasons.items():
        if holds:
            raise InputError(
                f"format c: {spec.name} has {reason}, which the C file cannot do yet; {instead}"
            )
