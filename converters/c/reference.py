"""The same integers in NumPy: slow, short, and independent of the kernels."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ultraface_deploy.converters.c.int8 import Int8Network, Int8Step, Weights
from ultraface_deploy.converters.c.topology import padded

Bytes = npt.NDArray[np.int64]
_FRACTION = 16
_UNIT = 1 << 30


def run(network: Int8Network, bgr: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """Run the network on a picture of its own size.

    Args:
        network: the integers.
        bgr: (height, width, 3) uint8.

    Returns:
        `scores` (1, N, C) and raw `boxes` (1, N, 4), float32.
    """
    sums = run_integers(network, bgr)
    scores, boxes = [], []
    for made, step in zip(sums, finals(network), strict=True):
        fixed = to_fixed(made, step.matrix)
        above = len(step.step.matrices[0].weight) // network.spec.num_classes
        above *= network.spec.num_classes - 1
        logits = fixed[:, :above].reshape(-1, network.spec.num_classes - 1)
        scores.append(softmax(logits))
        boxes.append(fixed[:, above:].reshape(-1, 4))
    return {
        "scores": (np.concatenate(scores)[None] / _UNIT).astype(np.float32),
        "boxes": (np.concatenate(boxes)[None] / (1 << _FRACTION)).astype(np.float32),
    }


def finals(network: Int8Network) -> list[Int8Step]:
    """The steps that make scores and boxes, in the order of the feature maps."""
    return sorted((s for s in network.steps if s.step.final), key=lambda s: s.step.map)


def run_integers(network: Int8Network, bgr: npt.NDArray[np.uint8]) -> list[Bytes]:
    """Return the sums (pixels, outputs) of every feature map, in their order."""
    tensors: dict[int, Bytes] = {0: bgr[..., ::-1].astype(np.int64) - 128}
    made: dict[int, Bytes] = {}
    for step in network.steps:
        lines = _lines(step, tensors, network.shift)
        sums = _multiply(lines, step.matrix)
        if step.step.output is None:
            made[step.step.map] = sums.reshape(-1, sums.shape[-1])
        else:
            tensors[step.step.output] = _rescaled(sums, step.matrix, network.shift)
    return [made[index] for index in sorted(made)]


def _lines(step: Int8Step, tensors: dict[int, Bytes], shift: int) -> Bytes:
    """What the matrix multiplies: (H, W, K)."""
    parts = [
        tensors[place.tensor][..., place.start : place.start + place.channels]
        for place in step.step.sources
    ]
    if step.step.kind in ("block", "heads"):
        made = [_depthwise(parts[0], each, step, shift) for each in step.filters]
        return _wide(made)
    if step.step.kind in ("first", "conv"):
        return np.concatenate(_taps(parts[0], step), axis=-1)
    if step.step.kind == "pointwise":
        return _wide(parts)
    return np.concatenate(parts, axis=-1)


def _wide(parts: list[Bytes]) -> Bytes:
    """Pad each part's channels to what is stored; the weights there are zero."""
    return np.concatenate(
        [np.pad(p, ((0, 0), (0, 0), (0, padded(p.shape[-1]) - p.shape[-1]))) for p in parts],
        axis=-1,
    )


def _taps(source: Bytes, step: Int8Step) -> list[Bytes]:
    """The nine shifted copies of a tensor (H, W, C), row by row."""
    reach, stride = step.step.dilation, step.step.stride
    around = ((reach, reach), (reach, reach), (0, 0))
    wide = np.pad(source, around, constant_values=step.zero)
    height, width = step.step.size
    return [
        wide[y : y + (height - 1) * stride + 1 : stride, x : x + (width - 1) * stride + 1 : stride]
        for y in (0, reach, 2 * reach)
        for x in (0, reach, 2 * reach)
    ]


def _depthwise(source: Bytes, weights: Weights, step: Int8Step, shift: int) -> Bytes:
    taps = _taps(source, step)
    sums = sum((tap * weights.weight[:, k] for k, tap in enumerate(taps)), np.int64(0))
    return _rescaled(sums + weights.bias, weights, shift)


def _multiply(lines: Bytes, weights: Weights) -> Bytes:
    # Doubles hold these sums exactly, and BLAS is quick.
    product = lines.astype(np.float64) @ weights.weight.T.astype(np.float64)
    made: Bytes = product.astype(np.int64) + weights.bias
    return made


def _rescaled(sums: Bytes, weights: Weights, shift: int) -> Bytes:
    narrow = np.clip(sums >> shift, -(2**15), 2**15 - 1)
    rounded = (narrow * weights.multiplier + 2**14) >> 15
    limited: Bytes = np.clip(rounded, -128, 127)
    return limited


def to_fixed(sums: Bytes, weights: Weights) -> Bytes:
    """Sums (..., N) as numbers with 16 bits behind the point."""
    fixed: Bytes = (sums * fixed_multipliers(weights) + (1 << 19)) >> 20
    return fixed


def fixed_multipliers(weights: Weights) -> Bytes:
    """What turns sums into numbers with 16 + 20 bits behind the point, (N,)."""
    return np.rint(weights.scale * (1 << _FRACTION + 20)).astype(np.int64)


def softmax(logits: Bytes) -> Bytes:
    """Scores (M, C) with 30 bits behind the point of logits (M, C - 1) above background."""
    logits = np.concatenate([np.zeros_like(logits[:, :1]), logits], axis=1)
    powers = power_of_e(logits - logits.max(axis=1, keepdims=True))
    total = powers.sum(axis=1, keepdims=True)
    scores: Bytes = (powers * _UNIT + total // 2) // total
    return scores


# 2**-x on 0..1 as a polynomial in x, least squares at Chebyshev points, 30 bits behind the point.
POWER_COEFFICIENTS = (
    1073741824,
    -744261015,
    257939262,
    -59584159,
    10288366,
    -1371275,
    117911,
)


def power_of_e(fixed: Bytes) -> Bytes:
    """exp of numbers (16 bits behind the point), 30 bits behind the point; error below 1e-6."""
    # log2(e) with 30 bits; the product has 46 and becomes 30 behind the point.
    binary = -((fixed * 1549082005) >> 16)
    whole, part = binary >> 30, binary & (_UNIT - 1)
    value = np.full_like(part, POWER_COEFFICIENTS[-1])
    for coefficient in POWER_COEFFICIENTS[-2::-1]:
        value = ((value * part) >> 30) + coefficient
    made: Bytes = np.where(
        whole >= 0, value >> np.clip(whole, 0, 40), value << np.clip(-whole, 0, 30)
    )
    return made
