"""From a network, its calibration table and a scheme to 8-bit numbers any emitter can write."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ultraface_deploy.quantize.equalize import equalization_factors, equalize
from ultraface_deploy.quantize.network import Floats, Layer, Network
from ultraface_deploy.quantize.ranges import METHODS, Range
from ultraface_deploy.quantize.table import CalibrationTable
from ultraface_deploy.safe.text import counted

LEVELS = 127


@dataclass(frozen=True)
class Scheme:
    """One way to quantise a network.

    `ranges` is a method of `ranges.METHODS`, `keep` the layers that stay FP32.
    """

    ranges: str = "p99.999"
    keep: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.ranges + (f", {counted(len(self.keep), 'layer')} in FP32" if self.keep else "")


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer with `weight` (out, in / groups, k, k) int8 and one scale per output channel.

    The weight meant is `weight * scales`; the bias stays FP32.
    """

    layer: Layer
    weight: npt.NDArray[np.int8]
    scales: Floats


@dataclass(frozen=True)
class Plan:
    """An equalised FP32 network with corrected biases, and the numbers that make it INT8.

    `quantized` holds the layers that become INT8, `ranges` (low, high) of all tensors. `means` are
    the mean inputs (C,) by tensor that the biases were corrected for; without correction none.
    """

    network: Network
    quantized: dict[str, QuantizedLayer]
    ranges: dict[str, Range]
    means: dict[str, Floats] = field(default_factory=dict)


def make_plan(network: Network, table: CalibrationTable, scheme: Scheme) -> Plan:
    """Apply a scheme.

    Raises:
        InputError: the table was made from another network, or a layer to keep does not exist.
    """
    table.require_network(network)
    for name in scheme.keep:
        network.layer(name)
    rewrites = METHODS[scheme.ranges].rewrites
    factors = equalization_factors(network, table.absmax) if rewrites else {}
    equalized = equalize(network, factors)
    quantized = {
        layer.name: quantize_weights(layer)
        for layer in equalized.layers
        if layer.name not in scheme.keep
    }
    means: dict[str, Floats] = {}
    if rewrites:
        means = {name: mean * factors.get(name, 1) for name, mean in table.mean.items()}
        quantized = {
            name: _with_corrected_bias(layer, means[layer.layer.source])
            for name, layer in quantized.items()
        }
    biased = {name: (q.layer.weight, q.layer.bias) for name, q in quantized.items()}
    ranges = {name: methods[scheme.ranges] for name, methods in table.ranges.items()}
    return Plan(equalized.with_parameters(biased), quantized, ranges, means)


def quantize_weights(layer: Layer) -> QuantizedLayer:
    """Round a layer's weights to -127..127, the largest of each output channel to one end."""
    scales = np.abs(layer.weight.reshape(len(layer.weight), -1)).max(axis=1) / LEVELS
    return round_weights(layer, np.where(scales > 0, scales, 1.0).astype(np.float32))


def round_weights(layer: Layer, scales: Floats) -> QuantizedLayer:
    """Round a layer's weights to -127..127 with the scales (out,) given."""
    steps = layer.weight / scales[:, None, None, None]
    return QuantizedLayer(layer, np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8), scales)


def dequantized(quantized: QuantizedLayer) -> Floats:
    """Return the weights that the integers stand for."""
    weights: Floats = quantized.weight * quantized.scales[:, None, None, None]
    return weights


def _with_corrected_bias(quantized: QuantizedLayer, mean: Floats) -> QuantizedLayer:
    """Add to the bias what rounding the weights takes from the mean output.

    The mean of the output changes by the weights' error times the mean of the input (Nagel et
    al., 2019, section 4.2); that mean is in the table, so no image is needed here.
    """
    layer = quantized.layer
    error = layer.weight - dequantized(quantized)
    per_input = error.sum(axis=(2, 3))
    shift = per_input[:, 0] * mean if layer.depthwise else per_input @ mean
    return replace(quantized, layer=replace(layer, bias=(layer.bias + shift).astype(np.float32)))


def affine(bounds: Range) -> tuple[float, int]:
    """Return scale and zero point over a range: value = scale * (q - zero), q in 0..255."""
    low, high = bounds
    scale = float(np.float32((high - low) / 255)) or 1.0
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def symmetric_threshold(bounds: Range) -> float:
    """Return the magnitude that becomes 127 where the zero point must be zero."""
    return max(-bounds[0], bounds[1]) or 1.0
