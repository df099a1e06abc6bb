"""The weights of a step as C arrays, in the order in which the kernels read them."""

# Tested by tests/converters/c/test_kernels.py.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ultraface_deploy.converters.c.float32 import FloatStep
from ultraface_deploy.converters.c.int8 import FIRST_ORDER, FIRST_RUN, Int8Step, Weights
from ultraface_deploy.converters.c.reference import fixed_multipliers
from ultraface_deploy.converters.c.topology import LANES, Step, padded


@dataclass(frozen=True)
class StepText:
    """A step in C: its arrays, and the initialisers that name them."""

    step: Step
    zero: int
    arrays: Sequence[str]
    filters: Sequence[str]
    matrix: str
    fixed: npt.NDArray[np.int64]


def int8_step(index: int, step: Int8Step) -> StepText:
    """Return the arrays of step `index` of an INT8 network."""
    arrays, filters = [], []
    for number, (layer, weights) in enumerate(zip(step.step.spatial, step.filters, strict=True)):
        name = f"{index}_{number}"
        channels = padded(len(weights.weight))
        wide = np.zeros((channels, 3, 4), np.int64)
        wide[: len(weights.weight), :, :3] = weights.weight.reshape(-1, 3, 3).transpose(0, 2, 1)
        packed = wide.reshape(-1, LANES, 3, 4).transpose(0, 2, 1, 3)
        arrays += [
            f"/* {layer.name}: depthwise 3x3 of {len(weights.weight)} channels */",
            array("int8_t", f"filter_{name}", packed),
            _biases(f"filter_bias_{name}", weights, channels),
            _multipliers(f"filter_multiplier_{name}", weights, channels),
        ]
        filters.append(
            f"{{filter_{name}, filter_bias_{name}, filter_multiplier_{name}, {channels}}}"
        )
    rows = _int8_rows(step)
    outputs, inputs = rows.shape
    arrays += [
        _described(step.step, step.matrix.weight.shape),
        _matrix(f"matrix_{index}", rows, FIRST_RUN if step.step.kind == "first" else inputs),
        _biases(f"bias_{index}", step.matrix, outputs),
    ]
    multiplier = "0"
    if step.matrix.multiplier is not None:
        multiplier = f"multiplier_{index}"
        arrays.append(_multipliers(multiplier, step.matrix, outputs))
    matrix = f"{{matrix_{index}, bias_{index}, {multiplier}, {inputs}, {outputs}}}"
    filters += ["{0, 0, 0, 0}"] * (2 - len(filters))
    fixed = fixed_multipliers(step.matrix)
    return StepText(step.step, step.zero, arrays, filters, matrix, fixed)


def _int8_rows(step: Int8Step) -> npt.NDArray[np.int64]:
    """A matrix as the kernels multiply it: outputs padded to 16, inputs to 4."""
    weight = step.matrix.weight.astype(np.int64)
    if step.step.kind == "first":
        weight = np.pad(weight, ((0, 0), (0, 1)))[:, FIRST_ORDER]
    rows, columns = weight.shape
    return np.pad(weight, ((0, padded(rows) - rows), (0, -columns % 4)))


def _matrix(name: str, rows: npt.NDArray[np.int64], run: int) -> str:
    """A matrix (N, K) in blocks of 16 outputs and up to 16 of every `run` inputs.

    A block is written as vectors of 4 outputs x 4 inputs; the macro around it orders them.
    """
    lines = []
    for outputs in rows.reshape(-1, LANES, rows.shape[1]):
        for start in range(0, rows.shape[1], run):
            inputs = outputs[:, start : start + run]
            for block in np.split(inputs, range(16, run, 16), axis=1):
                vectors = block.reshape(4, 4, -1, 4).transpose(2, 0, 1, 3).reshape(-1, 2, 16)
                pairs = [f"    {_vector(one)}, {_vector(two)}" for one, two in vectors.tolist()]
                lines.append(f"    W{len(pairs) // 2}(\n" + ",\n".join(pairs) + ")")
    body = ",\n".join(lines)
    return f"static const int8_t {name}[{rows.size}] ALIGNED = {{\n{body}}};"


def _vector(values: Sequence[int]) -> str:
    return f"V({', '.join(map(str, values))})"


def _biases(name: str, weights: Weights, count: int) -> str:
    sums = weights.weight.astype(np.int64).reshape(len(weights.weight), -1).sum(axis=1)
    pairs = [f"B({bias}, {total})" for bias, total in zip(weights.bias, sums, strict=True)]
    return array("int32_t", name, pairs + ["0"] * (count - len(pairs)))


def _multipliers(name: str, weights: Weights, count: int) -> str:
    assert weights.multiplier is not None
    missing = count - len(weights.multiplier)
    return array("int16_t", name, np.pad(weights.multiplier, (0, missing)))


def float_step(index: int, step: FloatStep, mean: int) -> StepText:
    """Return the arrays of step `index` of an FP32 network; `mean` lies outside the picture."""
    arrays, filters = [], []
    for number, (layer, each) in enumerate(zip(step.step.spatial, step.filters, strict=True)):
        weight, bias = each
        name, channels = f"{index}_{number}", padded(len(bias))
        missing = channels - len(bias)
        packed = np.pad(weight, ((0, missing), (0, 0))).reshape(-1, LANES, 9).transpose(0, 2, 1)
        arrays += [
            f"/* {layer.name}: depthwise 3x3 of {len(bias)} channels */",
            array("float", f"filter_{name}", packed),
            array("float", f"filter_bias_{name}", np.pad(bias, (0, missing))),
        ]
        filters.append(f"{{filter_{name}, filter_bias_{name}, {channels}}}")
    rows = step.matrix.rows
    outputs, inputs = padded(len(rows)), rows.shape[1]
    packed = np.pad(rows, ((0, outputs - len(rows)), (0, 0))).reshape(-1, LANES, inputs)
    bias = np.pad(step.matrix.bias, (0, outputs - len(rows)))
    arrays += [
        _described(step.step, rows.shape),
        array("float", f"matrix_{index}", packed.transpose(0, 2, 1)),
        array("float", f"bias_{index}", bias),
    ]
    matrix = f"{{matrix_{index}, bias_{index}, {inputs}, {outputs}, {int(step.relu)}}}"
    filters += ["{0, 0, 0}"] * (2 - len(filters))
    zero = mean if step.step.kind == "first" else 0
    return StepText(step.step, zero, arrays, filters, matrix, np.full(len(rows), 1 << 16))


def _described(step: Step, shape: tuple[int, ...]) -> str:
    names = ", ".join(layer.name for layer in step.matrices)
    return f"/* {names}: {shape[0]} outputs of {shape[1]} inputs */"


def array(kind: str, name: str, values: npt.NDArray[np.generic] | list[str]) -> str:
    """Return a constant array of C."""
    if kind == "float":
        words = [f"{value:.9g}" for value in np.asarray(values, np.float32).ravel().tolist()]
        words = [f"{w}f" if "." in w or "e" in w else f"{w}.0f" for w in words]
    else:
        words = [str(value) for value in np.asarray(values).ravel().tolist()]
    per_line = 8 if "(" in words[0] or kind == "float" else 32
    lines = [
        "    " + ", ".join(words[start : start + per_line])
        for start in range(0, len(words), per_line)
    ]
    body = ",\n".join(lines)
    return f"static const {kind} {name}[{len(words)}] ALIGNED = {{\n{body}}};"
