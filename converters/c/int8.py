"""The integers of a network: what every kernel, on every processor, must compute.

A stored value q is a signed byte that stands for `scale * (q - zero)`. An output is

    sum    = bias + sum of weight * q                            exact, 32 bits
    narrow = clamp16(sum >> shift)                               rounds down
    q      = clamp8((narrow * multiplier + 2**14) >> 15)         rounds to the nearest

`bias` holds all constants: the layer's bias, the zero points of input and output, and half of
2**shift, by which the first step rounds to the nearest too. `shift` is one number for the whole
network, so that kernels have it in their instructions; `multiplier` is a channel's own. The
weights' scales are chosen such that it is exact. Final layers keep `sum`, which stands for
`scale * sum`.
"""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ultraface_deploy.converters.c.matrices import BGR_ORDER, Doubles, Integers, matrix_of
from ultraface_deploy.converters.c.topology import Step, Topology
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.network import Layer
from ultraface_deploy.quantize.plan import Plan, affine, dequantized

# The first convolution's inputs as the kernels read them: of every row three pixels BGR and three
# bytes of the fourth, which have no weight.
FIRST_RUN = 12
FIRST_ORDER = np.pad(BGR_ORDER.reshape(3, 9), ((0, 0), (0, 3)), constant_values=-1).ravel()
# Of them, those that a kernel adds up in 16 bits: two of the last row, and the ninth of any row.
# Two alone always fit.
FIRST_GROUPS = FIRST_ORDER[[[24, 28, 8], [25, 29, 20], [26, 30, 32], [27, 31, 33]]]

LEVELS = 127
# Kernels that multiply bytes into 16 bits add this many products there before they widen, which
# must not overflow: 255 * 128 < 2**15.
MAX_PARTIAL_SUM = 255
# Below this a multiplier would not reach the ends of a byte before `narrow` is at its own.
_SMALLEST_MULTIPLIER = 160
_LARGEST_MULTIPLIER = 32767
_LARGEST_SHIFT = 6
_LARGEST_RATIO = _LARGEST_MULTIPLIER / 2**16
"""Of what a sum stands for to what an output stands for, with a shift of 1."""
_PICTURE_OFFSET = 128


@dataclass(frozen=True)
class Affine:
    """`scale * (q - zero)` per channel, both (C,)."""

    scale: Doubles
    zero: Integers


@dataclass(frozen=True)
class Weights:
    """weight (N, ...) in -127..127, bias (N,); `scale` (N,) is what a sum stands for.

    `multiplier` (N,) in 0..32767 makes bytes of sums; None where the sums are kept.
    """

    weight: npt.NDArray[np.int8]
    bias: Integers
    scale: Doubles
    multiplier: Integers | None


@dataclass(frozen=True)
class Int8Step:
    """A step with its integers; `zero` is what the step reads outside its source."""

    step: Step
    filters: tuple[Weights, ...]
    matrix: Weights
    zero: int


@dataclass(frozen=True)
class Int8Network:
    """What is written to C, and what the reference executes."""

    spec: ModelSpec
    topology: Topology
    shift: int
    steps: tuple[Int8Step, ...]


def lower(plan: Plan, topology: Topology, spec: ModelSpec) -> Int8Network:
    """Turn a plan into integers.

    Args:
        plan: equalised weights, ranges and mean inputs; all of its layers quantised.
        topology: the steps of the plan's network.
        spec: what the network is.
    """
    ratios = _Lowering(plan, spec, 1)
    for step in topology.steps:
        ratios.step(step)
        while ratios.widen():
            ratios.step(step)
    # The ratios do not depend on the shift; the largest one decides how far sums can be shifted.
    shift = min(_LARGEST_SHIFT, int(np.floor(np.log2(_LARGEST_MULTIPLIER / ratios.largest))) - 15)
    lowering = _Lowering(ratios.plan, spec, shift)
    return Int8Network(spec, topology, shift, tuple(map(lowering.step, topology.steps)))


class _Lowering:
    def __init__(self, plan: Plan, spec: ModelSpec, shift: int) -> None:
        self.plan, self._spec, self._shift = plan, spec, shift
        self._planned = plan.network.with_parameters(
            {name: (dequantized(q), q.layer.bias) for name, q in plan.quantized.items()}
        )
        self.largest = 0.0
        self._finer: dict[str, float] = {}
        self._input = plan.network.layers[0].source

    def step(self, step: Step) -> Int8Step:
        filters = tuple(self._filter(layer) for layer in step.spatial)
        zero = 0 if step.kind == "join" else int(self._tensor(step.reads[0], 1).zero[0])
        return Int8Step(step, filters, self._matrix(step), zero)

    def widen(self) -> bool:
        """Widen the ranges of the last step's tensors that are finer than the sums they are of.

        Where few pictures make a channel vary, its range can be narrower than what one unit of its
        sums stands for, which no multiplier expresses. A wider range only rounds more.
        """
        finer, self._finer = self._finer, {}
        wide = {
            # Of an empty range `affine` makes a scale of 1.
            name: (low * factor, high * factor) if high > low else (0.0, 255 * factor)
            for name, factor in finer.items()
            for low, high in (self.plan.ranges[name],)
        }
        self.plan = replace(self.plan, ranges=self.plan.ranges | wide)
        return bool(wide)

    def _matrix(self, step: Step) -> Weights:
        made = matrix_of(step, self.plan.network, self._spec)
        planned = matrix_of(step, self._planned, self._spec).rows
        source = _concatenated([self._tensor(c.tensor, c.stored) for c in made.columns])
        means = np.concatenate([self._means(c.tensor, c.channels, c.stored) for c in made.columns])
        groups = FIRST_GROUPS if step.kind == "first" else _every_fourth(made.rows.shape[1])
        names = [] if step.final else _names_of_outputs(step)
        return self._quantize(made.rows, planned, made.bias, source, names, means, groups)

    def _tensor(self, name: str, channels: int) -> Affine:
        if name == self._input:
            # A byte p of the picture stands for (p - mean) / std; stored is p - 128.
            scale = 1.0 / self._spec.std[0]
            zero = round(self._spec.mean[0]) - _PICTURE_OFFSET
        else:
            scale, zero = affine(self.plan.ranges[name])
            zero -= 128
        return Affine(np.full(channels, scale), np.full(channels, zero, np.int64))

    def _filter(self, given: Layer) -> Weights:
        layer = self.plan.network.layer(given.name)
        channels = len(layer.weight)
        flat = layer.weight.reshape(channels, 9).astype(np.float64)
        return self._quantize(
            flat,
            self._planned.layer(layer.name).weight.reshape(channels, 9).astype(np.float64),
            layer.bias.astype(np.float64),
            self._tensor(layer.source, 1),
            [(layer.name, channels)],
            self._means(layer.source, channels, channels)[:, None],
            np.arange(9).reshape(3, 3),
        )

    def _means(self, tensor: str, channels: int, stored: int) -> Doubles:
        means = self.plan.means.get(tensor, np.zeros(channels, np.float32))
        return np.pad(means.astype(np.float64), (0, stored - channels))

    def _quantize(
        self,
        rows: Doubles,
        planned: Doubles,
        bias: Doubles,
        source: Affine,
        names: list[tuple[str, int]],
        means: Doubles,
        groups: Integers,
    ) -> Weights:
        """Round rows (N, K) and bias (N,) for inputs of (K,) scales, or (1,) for all.

        Args:
            rows: the weights in FP32.
            planned: the weights that the plan's integers stand for, (N, K).
            bias: the biases, corrected for the plan's integers.
            source: scales and zero points of the inputs.
            names: of the output tensors and their channels; none to keep the sums.
            means: mean of each input, (K,) or (N, 1): what these integers take from the mean
                output besides the plan's is put back (Nagel et al., 2019, section 4.2).
            groups: (G, n) the columns whose products are added in 16 bits; -1 stands for none.
        """
        effective = rows * source.scale
        sigma = np.maximum(np.abs(effective).max(axis=1) / LEVELS, 1e-30)
        sigma = _within_partial_sums(effective, sigma, groups)
        multiplier = None
        output = _concatenated([self._tensor(*each) for each in names]) if names else None
        if output is not None:
            step = 2.0 ** (15 + self._shift)
            ratio = sigma / output.scale
            if (factor := float(ratio.max()) / _LARGEST_RATIO) > 1:
                self._finer |= {name: 1.001 * factor for name, _ in names}
            else:
                self.largest = max(self.largest, float(ratio.max()))
            multiplier = np.clip(np.ceil(ratio * step), _SMALLEST_MULTIPLIER, _LARGEST_MULTIPLIER)
            sigma = multiplier / step * output.scale
        weight = np.clip(np.rint(effective / sigma[:, None]), -LEVELS, LEVELS)
        lost = ((planned - weight * sigma[:, None] / source.scale) * means).sum(axis=1)
        total = np.rint((bias + lost) / sigma) - (weight * source.zero).sum(axis=1)
        if output is not None:
            total += np.rint(output.zero * output.scale / sigma) + (1 << self._shift >> 1)
        limited = np.clip(total, -(2**30), 2**30).astype(np.int64)
        exact = None if multiplier is None else multiplier.astype(np.int64)
        return Weights(weight.astype(np.int8), limited, sigma, exact)


def _names_of_outputs(step: Step) -> list[tuple[str, int]]:
    if step.kind == "join":
        return [(step.sum_name, len(step.matrices[0].weight))]
    return [(each.name, len(each.weight)) for each in step.matrices]


def _concatenated(parts: list[Affine]) -> Affine:
    return Affine(
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.zero for part in parts]),
    )


def _every_fourth(columns: int) -> Integers:
    """Columns k, k + 4, k + 8, k + 12 of each sixteen; -1 stands for none."""
    wide = -(-columns // 16) * 16
    index = np.arange(wide).reshape(-1, 4, 4).transpose(0, 2, 1).reshape(-1, 4)
    return np.where(index < columns, index, -1)


def _within_partial_sums(effective: Doubles, sigma: Doubles, groups: Integers) -> Doubles:
    """Coarsen rows until the magnitudes of no group of weights exceed `MAX_PARTIAL_SUM`."""
    magnitudes = np.pad(np.abs(effective), ((0, 0), (0, 1)))[:, groups]
    sigma = sigma.copy()
    while True:
        sums = np.rint(magnitudes / sigma[:, None, None]).sum(axis=2).max(axis=1)
        over = sums > MAX_PARTIAL_SUM
        if not over.any():
            return sigma
        sigma[over] *= np.maximum(sums[over] / MAX_PARTIAL_SUM, 1.002)
