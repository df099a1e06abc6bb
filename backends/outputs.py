"""What a runtime's outputs are: which are scores and boxes, and whether a detector gives such."""

# Tested by tests/backends/test_base.py.

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ultraface_deploy.errors import BackendError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.maps import join_maps, names_of_maps
from ultraface_deploy.pipeline.preprocess import Tensor
from ultraface_deploy.safe.text import counted

Outputs = dict[str, Tensor]
# Outputs that a refusal lists.
_SHOWN = 4


def bind_outputs(named: Mapping[str, Tensor], spec: ModelSpec) -> Outputs:
    """Find scores, boxes and landmarks among a runtime's outputs, by name or else by shape.

    Of networks that end at their convolutions, whoever made them, the rest of the head is done.

    Raises:
        BackendError: they are not there, or have another size than the network's anchors.
    """
    if maps_among(named, spec) is not None:
        return join_maps(named, spec)
    found = _fitting(named, spec)
    if found is None:
        shown = [f"{name} {tuple(value.shape)}" for name, value in named.items()]
        more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        outputs = counted(len(shown), "output")
        raise BackendError(
            f"not an UltraFace network at {spec.width}x{spec.height}: {outputs}, "
            f"{', '.join(shown[:_SHOWN]) or 'none'}{more}, do not fit "
            f"{spec.num_anchors} anchors of {spec.num_classes} classes; check `input_size`"
        )
    return {
        key: named[name].reshape(1, spec.num_anchors, spec.outputs[key])
        for key, name in found.items()
    }


def fits(named: Mapping[str, Tensor], spec: ModelSpec) -> bool:
    """Whether a runtime's outputs are those of a network: its anchors, classes and landmarks."""
    return maps_among(named, spec) is not None or _fitting(named, spec) is not None


def _fitting(named: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, str] | None:
    """What the file calls each output; None where one is missing or has another size."""
    found = {}
    for (key, width), name in zip(spec.outputs.items(), names_of_outputs(named, spec), strict=True):
        if name is None or named[name].size != spec.num_anchors * width:
            return None
        found[key] = name
    return found


def maps_among(named: Mapping[str, Tensor], spec: ModelSpec) -> list[str] | None:
    """Return the names of what the head's convolutions give, None where the head is whole."""
    whole = spec.head == "decoded" or all(key in named for key in spec.outputs)
    return None if whole else names_of_maps(named, spec)


def names_of_outputs(named: Mapping[str, Tensor], spec: ModelSpec) -> list[str | None]:
    """Return what the file calls the network's outputs, None for one that is not there."""
    wanted = spec.outputs
    if all(key in named for key in wanted):
        return list(wanted)
    last = {name: value.shape[-1] for name, value in named.items() if value.ndim >= 2}
    # Outputs whose other dimension is not the anchors are something else.
    rows = {
        name: size for name, size in last.items() if named[name].size == spec.num_anchors * size
    }
    names: list[str | None] = []
    for width in wanted.values():
        fitting = [name for name, size in rows.items() if size == width]
        names.append(fitting[0] if len(fitting) == 1 else None)
    return names


def implausible(outputs: Outputs) -> str | None:
    """Say why outputs cannot come from a working detector; None when they can."""
    scores, boxes = outputs["scores"], outputs["boxes"]
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        return "its outputs are not finite"
    if np.abs(scores.sum(axis=2) - 1).max() > 0.05 or scores.min() < -0.01:
        return "its scores do not sum to 1"
    if not boxes.any():
        return "its boxes are all zero"
    return None
