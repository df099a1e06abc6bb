"""Cross-layer equalisation: the same function with channels that share one scale better.

A channel c between two convolutions may be multiplied by any positive s_c in the first (weights
and bias) and divided by it in the second; the ReLU between lets it pass (Nagel et al., 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction"). An 8-bit tensor has one
scale for all its channels, so a channel that never gets large wastes most of its levels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ultraface_deploy.quantize.network import Floats, Layer, Network

# A channel that hardly ever fires says nothing about its range.
_LARGEST_FACTOR = 64.0
# Between weights and activations a compromise is made (Xiao et al., 2023, "SmoothQuant"); the
# activations get more than half of it, because their rounding is most of the error here.
_SHARE_OF_ACTIVATIONS = 0.65


def equalization_factors(network: Network, absmax: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return what each tensor's channels are to be multiplied by.

    Where depthwise convolutions alone read a tensor, a weight scale per channel makes this free of
    cost, so all channels get the same range. Where other convolutions do, it is a compromise
    between the ranges of the tensor's channels and those of the weights that read them.

    Args:
        network: the network.
        absmax: per tensor the largest magnitude of each channel, (C,).
    """
    factors = {}
    for layer in network.layers:
        readers = network.readers(layer.name)
        if not readers:
            continue
        if all(reader.depthwise for reader in readers):
            factors[layer.name] = _to_the_largest(absmax[layer.name])
        elif not any(reader.groups > 1 for reader in readers):
            factors[layer.name] = _balanced(absmax[layer.name], readers)
    return factors


def equalize(network: Network, factors: Mapping[str, Floats]) -> Network:
    """Return a network of the same function with tensors scaled by `factors`, (C,) each."""
    changed = {}
    for layer in network.layers:
        weight, bias = layer.weight.copy(), layer.bias.copy()
        if layer.name in factors:
            scale = factors[layer.name]
            weight *= scale[:, None, None, None]
            bias *= scale
        if layer.source in factors:
            scale = factors[layer.source]
            weight /= scale[:, None, None, None] if layer.depthwise else scale[None, :, None, None]
        if layer.name in factors or layer.source in factors:
            changed[layer.name] = (weight, bias)
    return network.with_parameters(changed)


def _to_the_largest(absmax: Floats) -> Floats:
    top = absmax.max()
    if top <= 0:
        return np.ones_like(absmax)
    return np.where(absmax > 0, np.minimum(top / np.maximum(absmax, 1e-30), _LARGEST_FACTOR), 1.0)


def _balanced(absmax: Floats, readers: tuple[Layer, ...]) -> Floats:
    weights = np.max([np.abs(r.weight).max(axis=(0, 2, 3)) for r in readers], axis=0)
    usable = (absmax > 0) & (weights > 0)
    if not usable.any():
        return np.ones_like(absmax)
    ratio = np.where(usable, weights, 1.0) ** (1 - _SHARE_OF_ACTIVATIONS)
    ratio /= np.where(usable, absmax, 1.0) ** _SHARE_OF_ACTIVATIONS
    ratio = np.where(usable, ratio / np.exp(np.log(ratio[usable]).mean()), 1.0)
    return np.clip(ratio, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR).astype(np.float32)
