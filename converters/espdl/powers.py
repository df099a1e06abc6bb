"""A plan in scales that are powers of two, as Espressif's ESP-DL computes.

A scale rounded up to a power of two leaves up to half of the levels unused. Where a ReLU makes a
tensor, the tensor may be multiplied by any positive number instead, and the layers that read it
divided by that: so its range fills the levels, and the network stays the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ultraface_deploy.quantize.equalize import equalize
from ultraface_deploy.quantize.network import Floats, Layer, Network
from ultraface_deploy.quantize.plan import Plan, QuantizedLayer, dequantized, round_weights

_HALF_LEVELS = 127.5
# The input is cut at 127 of its steps, so that a pixel is a step where they are as wide as here.
_INPUT_LEVELS = 128
_LEAST = 1e-12


@dataclass(frozen=True)
class Powers:
    """A network whose weights are whole multiples of powers of two, and the exponents of tensors.

    `exponents` are of the steps: of the input, and of what each layer makes.
    """

    network: Network
    exponents: Mapping[str, int]


def to_powers(plan: Plan, given: str) -> Powers:
    """Rewrite a plan.

    Args:
        plan: its ranges are kept, its integers are made anew.
        given: the name of the input tensor.
    """
    factors: dict[str, float] = {}
    exponents = {given: _exponent(_largest(plan, given) / _INPUT_LEVELS)}
    for layer in plan.network.layers:
        step = _largest(plan, layer.name) / _HALF_LEVELS
        exponents[layer.name] = _exponent(step)
        if plan.network.readers(layer.name):
            factors[layer.name] = 2.0 ** exponents[layer.name] / step
    scaled = equalize(plan.network, _by_channel(plan.network, factors))
    changed = {}
    for name, before in plan.quantized.items():
        after = _rounded(scaled.layer(name))
        bias = after.layer.bias
        if plan.means:
            mean = plan.means[after.layer.source]
            # What rounding to the plan's integers took is in the bias; this rounding is another.
            bias = bias - _shift(before, mean) * factors.get(name, 1.0)
            bias = bias + _shift(after, mean * factors.get(after.layer.source, 1.0))
        changed[name] = (dequantized(after), bias.astype(np.float32))
    return Powers(scaled.with_parameters(changed), exponents)


def _by_channel(network: Network, factors: Mapping[str, float]) -> dict[str, Floats]:
    return {
        name: np.full(len(network.layer(name).bias), factor, np.float32)
        for name, factor in factors.items()
    }


def _largest(plan: Plan, tensor: str) -> float:
    return max(*(abs(each) for each in plan.ranges[tensor]), _LEAST)


def _exponent(step: float) -> int:
    return int(np.ceil(np.log2(step)))


def _rounded(layer: Layer) -> QuantizedLayer:
    """Round weights to -127..127 with a power of two for each output channel."""
    largest = np.abs(layer.weight.reshape(len(layer.weight), -1)).max(axis=1)
    steps = np.maximum(largest / _HALF_LEVELS, _LEAST)
    return round_weights(layer, np.exp2(np.ceil(np.log2(steps))).astype(np.float32))


def _shift(quantized: QuantizedLayer, mean: Floats) -> Floats:
    """What rounding the weights takes from the mean output (N,)."""
    per_input = (quantized.layer.weight - dequantized(quantized)).sum(axis=(2, 3))
    shift: Floats = per_input[:, 0] * mean if quantized.layer.depthwise else per_input @ mean
    return shift
