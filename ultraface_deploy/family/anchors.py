"""The anchors (priors) the networks were trained with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ultraface_deploy.family.spec import AnchorSpec, ModelSpec


def make_anchors(spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Return the anchors of a network, (N, 4) float32 as centre x, centre y, width, height in 0..1.

    Order: feature map, row, column, side length; the order in which the heads emit them.
    Centres are `(i + 0.5) / feature_map_size`, as in training. The published C++ demos use
    `(i + 0.5) * stride / input_size`, which is off by up to 30 pixels where the input is not a
    multiple of the stride; networks that were trained so say it in `AnchorSpec.centers`. The
    array is shared and read-only.
    """
    return _make_anchors(spec.width, spec.height, spec.feature_maps, spec.anchors)


@lru_cache(maxsize=16)
def _make_anchors(
    width: int, height: int, feature_maps: tuple[tuple[int, int], ...], layout: AnchorSpec
) -> npt.NDArray[np.float32]:
    grids = []
    for (columns, rows), sides, stride in zip(
        feature_maps, layout.min_boxes, layout.strides, strict=True
    ):
        across, down = float(columns), float(rows)
        if layout.centers == "stride":
            across, down = width / stride, height / stride
        grid = np.empty((rows, columns, len(sides), 4))
        grid[..., 0] = ((np.arange(columns) + 0.5) / across)[None, :, None]
        grid[..., 1] = ((np.arange(rows) + 0.5) / down)[:, None, None]
        grid[..., 2] = np.asarray(sides) / width
        grid[..., 3] = np.asarray(sides) / height
        grids.append(grid.reshape(-1, 4))
    exact = np.concatenate(grids)
    if layout.clip:
        exact = np.clip(exact, 0.0, 1.0)
    anchors: npt.NDArray[np.float32] = exact.astype(np.float32)
    anchors.setflags(write=False)
    return anchors
