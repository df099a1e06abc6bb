"""The runtime: each operator of these networks in NumPy, one thread, easy to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ultraface_deploy.agreement.precision import Precision, Tolerance
from ultraface_deploy.backends import Backend, Session
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.preprocess import Tensor
from ultraface_numpy.npz.program import Program, Step, read


class _Session(Session):
    def __init__(self, spec: ModelSpec, program: Program) -> None:
        super().__init__(spec)
        self._program = program
        self._arrays = {
            name: value * program.arrays[f"{name}/scale"][:, None, None, None]
            if f"{name}/scale" in program.arrays
            else value
            for name, value in program.arrays.items()
        }

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        program = self._program
        values = {**self._arrays, program.input: self._rounded(program.input, tensor)}
        for step in program.steps:
            made = _OPERATORS[step.operator](step, [values[name] for name in step.inputs])
            for name, value in zip(step.outputs, made, strict=True):
                values[name] = self._rounded(name, value)
        return {name: np.array(values[name], np.float32) for name in program.outputs}

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        if name not in self._program.rounded:
            return value
        scale, zero = self._program.rounded[name]
        levels = np.clip(np.rint(value / np.float32(scale)) + zero, 0, 255)
        return np.asarray((levels - zero) * np.float32(scale), np.float32)


def _conv(step: Step, values: list[Any]) -> list[Any]:
    """Sum over the kernel's positions: one matrix product each, per group."""
    (x, weight, *bias), given = values, step.attributes
    groups, (step_y, step_x) = given.get("group", 1), given.get("strides", (1, 1))
    dilation_y, dilation_x = given.get("dilations", (1, 1))
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    x = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
    channels, _, kernel_y, kernel_x = weight.shape
    height = (x.shape[1] - dilation_y * (kernel_y - 1) - 1) // step_y + 1
    width = (x.shape[2] - dilation_x * (kernel_x - 1) - 1) // step_x + 1
    grouped = weight.reshape(groups, channels // groups, -1, kernel_y, kernel_x)
    out = np.zeros((groups, channels // groups, height * width), np.float32)
    for i in range(kernel_y):
        for j in range(kernel_x):
            rows = slice(i * dilation_y, i * dilation_y + step_y * height, step_y)
            columns = slice(j * dilation_x, j * dilation_x + step_x * width, step_x)
            patch = x[:, rows, columns].reshape(groups, -1, height * width)
            out += grouped[..., i, j] @ patch
    out = out.reshape(1, channels, height, width)
    return [out + bias[0][:, None, None] if bias else out]


def _softmax(step: Step, values: list[Any]) -> list[Any]:
    axis = step.attributes.get("axis", -1)
    powers = np.exp(values[0] - values[0].max(axis=axis, keepdims=True))
    return [powers / powers.sum(axis=axis, keepdims=True)]


def _split(step: Step, values: list[Any]) -> list[Any]:
    return np.split(values[0], np.cumsum(values[1])[:-1], axis=step.attributes["axis"])


_OPERATORS: dict[str, Callable[[Step, list[Any]], list[Any]]] = {
    "Add": lambda step, v: [v[0] + v[1]],
    "Concat": lambda step, v: [np.concatenate(v, axis=step.attributes["axis"])],
    "Conv": _conv,
    "Exp": lambda step, v: [np.exp(v[0])],
    "Mul": lambda step, v: [v[0] * v[1]],
    "Relu": lambda step, v: [np.maximum(v[0], 0)],
    "Reshape": lambda step, v: [v[0].reshape(v[1])],
    "Softmax": _softmax,
    "Split": _split,
    "Sub": lambda step, v: [v[0] - v[1]],
    "Transpose": lambda step, v: [v[0].transpose(step.attributes["perm"])],
}


class Numpy(Backend):
    """Runs `.npz` files, and simplified ONNX as it is."""

    name = "numpy"
    formats = ("npz", "onnxsim")
    module = "ultraface_numpy"
    distribution = "ultraface-numpy"
    tolerances: ClassVar[Mapping[Precision, Tolerance]] = {"fp32": Tolerance(1e-4, 1e-3)}

    def _load(
        self, files: Sequence[Path], spec: ModelSpec, threads: int, precision: Precision
    ) -> Session:
        if files[0].suffix == ".npz":
            return _Session(spec, read(files[0]))
        from ultraface_deploy.converters.onnx.files import load
        from ultraface_numpy.npz.from_onnx import program_of

        return _Session(spec, program_of(load(files[0])))


BACKEND = Numpy()
