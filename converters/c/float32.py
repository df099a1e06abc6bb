"""The network in FP32 as the kernels multiply it."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ultraface_deploy.converters.c.matrices import BGR_ORDER, Doubles, Matrix, matrix_of
from ultraface_deploy.converters.c.topology import Step, Topology
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.network import Network


@dataclass(frozen=True)
class FloatStep:
    """A step with its weights: filters are (C, 9) and (C,); `relu` is the matrix's."""

    step: Step
    filters: tuple[tuple[Doubles, Doubles], ...]
    matrix: Matrix
    relu: bool


@dataclass(frozen=True)
class FloatNetwork:
    """What is written to C."""

    spec: ModelSpec
    topology: Topology
    steps: tuple[FloatStep, ...]


def lower_float(network: Network, topology: Topology, spec: ModelSpec) -> FloatNetwork:
    """Lay a network's weights out; the first convolution reads bytes, not normalised numbers."""
    steps = []
    for step in topology.steps:
        filters = tuple(
            (layer.weight.reshape(-1, 9).astype(np.float64), layer.bias.astype(np.float64))
            for layer in step.spatial
        )
        matrix = matrix_of(step, network, spec)
        if step.kind == "first":
            matrix = _over_bytes(matrix, spec)
        relu = step.kind == "join" or (step.matrices[0].relu and not step.final)
        steps.append(FloatStep(step, filters, matrix, relu))
    return FloatNetwork(spec, topology, tuple(steps))


def _over_bytes(matrix: Matrix, spec: ModelSpec) -> Matrix:
    """Fold `(x - mean) / std` into the first convolution; its columns become BGR."""
    rows = matrix.rows / np.tile(spec.std, 9)
    bias = matrix.bias - rows @ np.tile(spec.mean, 9)
    return replace(matrix, rows=rows[:, BGR_ORDER], bias=bias)
