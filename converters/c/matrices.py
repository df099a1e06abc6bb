"""The weights of a step as it multiplies them: one matrix, whatever convolutions it stands for."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ultraface_deploy.converters.c.topology import Step, padded
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.network import Floats, Layer, Network

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# The 27 inputs of the first convolution (row, column, RGB) in the order of the picture's bytes.
BGR_ORDER = np.arange(27).reshape(9, 3)[:, ::-1].ravel()


@dataclass(frozen=True)
class Columns:
    """`stored` neighbouring inputs of a matrix, of which the first are the channels of a tensor."""

    tensor: str
    channels: int
    stored: int


@dataclass(frozen=True)
class Matrix:
    """rows (N, K) and bias (N,) in FP32; `columns` say what the K inputs are."""

    rows: Doubles
    bias: Doubles
    columns: tuple[Columns, ...]


def matrix_of(step: Step, network: Network, spec: ModelSpec) -> Matrix:
    """Return the matrix of a step, with the weights that `network` has."""
    layers = [network.layer(layer.name) for layer in step.matrices]
    if step.kind == "join":
        return _joined(layers, step)
    made = _block_diagonal(layers) if step.kind == "heads" else _stacked(layers, step)
    return _above_background(made, layers[0], spec) if step.final else made


def _stacked(layers: list[Layer], step: Step) -> Matrix:
    """Layers over one source, below each other; (N, taps * channels), tap by tap."""
    channels = layers[0].weight.shape[1]
    stored = padded(channels) if step.kind in ("block", "pointwise") else channels
    taps = [
        _concatenated(layer.weight[:, :, y, x] for layer in layers)
        for y in range(layers[0].weight.shape[2])
        for x in range(layers[0].weight.shape[3])
    ]
    rows = np.concatenate([np.pad(tap, ((0, 0), (0, stored - channels))) for tap in taps], axis=1)
    columns = (Columns(layers[0].source, channels, stored),) * len(taps)
    return Matrix(rows, _concatenated(layer.bias for layer in layers), columns)


def _block_diagonal(layers: list[Layer]) -> Matrix:
    """The heads of a map: each reads what its own depthwise convolution made."""
    stored = [padded(layer.weight.shape[1]) for layer in layers]
    rows = np.zeros((sum(len(layer.weight) for layer in layers), sum(stored)))
    row = column = 0
    for layer, wide in zip(layers, stored, strict=True):
        outputs, inputs = layer.weight.shape[:2]
        rows[row : row + outputs, column : column + inputs] = layer.weight[:, :, 0, 0]
        row, column = row + outputs, column + wide
    columns = tuple(
        Columns(layer.source, layer.weight.shape[1], wide)
        for layer, wide in zip(layers, stored, strict=True)
    )
    return Matrix(rows, _concatenated(layer.bias for layer in layers), columns)


def _joined(layers: list[Layer], step: Step) -> Matrix:
    """Two 1x1 convolutions whose outputs are added: one over the inputs of both."""
    rows = np.concatenate([layer.weight[:, :, 0, 0] for layer in layers], axis=1)
    bias = np.sum([layer.bias.astype(np.float64) for layer in layers], axis=0)
    columns = tuple(
        Columns(name, place.channels, place.channels)
        for name, place in zip(step.reads, step.sources, strict=True)
    )
    return Matrix(rows.astype(np.float64), bias, columns)


def _above_background(made: Matrix, classes: Layer, spec: ModelSpec) -> Matrix:
    """Let classes say how far they are above background: softmax needs nothing else."""
    scores = len(classes.weight)
    by_anchor = made.rows[:scores].reshape(-1, spec.num_classes, made.rows.shape[1])
    bias_by_anchor = made.bias[:scores].reshape(-1, spec.num_classes)
    above = (by_anchor[:, 1:] - by_anchor[:, :1]).reshape(-1, made.rows.shape[1])
    bias_above = (bias_by_anchor[:, 1:] - bias_by_anchor[:, :1]).ravel()
    return Matrix(
        np.concatenate([above, made.rows[scores:]]),
        np.concatenate([bias_above, made.bias[scores:]]),
        made.columns,
    )


def _concatenated(parts: Iterable[Floats]) -> Doubles:
    return np.concatenate(list(parts)).astype(np.float64)
