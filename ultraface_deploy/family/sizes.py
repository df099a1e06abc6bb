"""A network at another input size than its own, and what that costs."""

from __future__ import annotations

import logging

from ultraface_deploy.family.spec import ModelSpec

_log = logging.getLogger(__name__)
# A multiple of it suits the two finest feature maps, on which small faces are found.
_GOOD = 16


def at_size(spec: ModelSpec, width: int, height: int) -> ModelSpec:
    """Return the network at a size that somebody asked for; where it finds fewer faces, warn.

    Anchors divide the input evenly (`AnchorSpec.centers` is `map`), as in training, but the cells
    of the finest feature map are a whole stride apart. So at sides that are not its multiple the
    two drift apart, and boxes with them, by up to a stride less a pixel: at 320x180 the published
    slim-320 has hard AP .268 on held-out images, at 320x184 .319 (docs/accuracy.md).

    Args:
        spec: the network.
        width: of the input, in pixels.
        height: of the input, in pixels.
    """
    stride = min(spec.anchors.strides)
    drifts = {side: -side % stride for side in (width, height)}
    own = (width, height) == (spec.width, spec.height)
    if any(drifts.values()) and spec.anchors.centers == "map" and not own:
        off = [str(side) for side, drift in drifts.items() if drift]
        _log.warning(
            "input size %dx%d: %s not a multiple of %d, so boxes come to lie up to %d pixels off "
            "and small faces are lost; %dx%d finds more",
            width,
            height,
            " and ".join(off) + (" is" if len(off) == 1 else " are"),
            stride,
            max(drifts.values()),
            *(-(-side // _GOOD) * _GOOD for side in (width, height)),
        )
    return spec.resized(width, height)
