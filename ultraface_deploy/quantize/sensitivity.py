"""What each layer costs when it alone becomes INT8, and which to keep for a given size."""

# Tested by tests/quantize/test_report.py.

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from ultraface_deploy.quantize.network import Executor, Floats, Layer, Network, Outputs
from ultraface_deploy.quantize.plan import Scheme, make_plan
from ultraface_deploy.quantize.table import CalibrationTable, LayerCost, rounded

# Where a face is decided: an anchor that the FP32 network is sure of stays where it is.
UNDECIDED = (0.25, 0.75)


def undecided(scores: Floats) -> npt.NDArray[np.bool_]:
    """Return which anchors of (..., N, C) scores are undecided between background and face."""
    face = scores[..., 1:].max(axis=-1)
    where: npt.NDArray[np.bool_] = (face > UNDECIDED[0]) & (face < UNDECIDED[1])
    return where


def measure_costs(
    network: Network,
    executor: Executor,
    table: CalibrationTable,
    tensors: Sequence[Floats],
    step: Callable[[], None] = lambda: None,
) -> dict[str, LayerCost]:
    """Quantise one layer at a time and measure the error of the network's outputs.

    Args:
        network: the FP32 network.
        executor: runs it.
        table: its calibration table; what it says of costs is not read.
        tensors: network inputs (1, 3, H, W).
        step: called after every layer.
    """
    reference = executor.outputs(tensors)
    names = [layer.name for layer in network.layers]
    costs = {}
    for name in names:
        others = tuple(other for other in names if other != name)
        plan = make_plan(network, table, Scheme(keep=others))
        costs[name] = _error(reference, executor.outputs(tensors, plan))
        step()
    return costs


def sensitive_layers(
    network: Network,
    costs: dict[str, LayerCost],
    budget: int,
    without: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the layers to keep in FP32 that take away most error for `budget` extra bytes.

    Layers of `without` are not chosen.
    """
    by_worth = sorted(
        network.layers,
        key=lambda layer: costs[layer.name].scores ** 2 / extra_bytes(layer),
        reverse=True,
    )
    kept, left = set(), budget
    for layer in by_worth:
        if layer.name not in without and extra_bytes(layer) <= left:
            kept.add(layer.name)
            left -= extra_bytes(layer)
    return tuple(layer.name for layer in network.layers if layer.name in kept)


def extra_bytes(layer: Layer) -> int:
    """Return what a layer's weights take more in FP32 than in INT8."""
    return 3 * layer.weight.size


def _error(reference: list[Outputs], outputs: list[Outputs]) -> LayerCost:
    scores, boxes = [], []
    for (wanted_scores, wanted_boxes), (had_scores, had_boxes) in zip(
        reference, outputs, strict=True
    ):
        where = undecided(wanted_scores)
        scores.append((had_scores - wanted_scores)[where].ravel())
        boxes.append((had_boxes - wanted_boxes)[where].ravel())
    return LayerCost(_rms(np.concatenate(scores)), _rms(np.concatenate(boxes)))


def _rms(values: Floats) -> float:
    return rounded(np.sqrt(np.square(values).mean())) if values.size else 0.0
