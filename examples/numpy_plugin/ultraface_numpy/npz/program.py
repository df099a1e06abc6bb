"""What an `.npz` file of this format holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Step:
    """One operator of ONNX: the names of what it reads and writes, and its attributes."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Program:
    """A network: operators in the order in which they run, and the arrays that they read.

    An 8-bit weight stands with its scale per output channel under `<name>/scale`. Tensors in
    `rounded` are rounded to 8 bits, with (scale, zero point).
    """

    input: str
    input_shape: tuple[int, ...]
    outputs: list[str]
    steps: list[Step]
    arrays: dict[str, Array]
    rounded: dict[str, tuple[float, int]] = field(default_factory=dict)


def write(program: Program, path: Path) -> None:
    """Write a program; the text stands beside the arrays."""
    text = {key: value for key, value in vars(program).items() if key != "arrays"}
    text["steps"] = [vars(step) for step in program.steps]
    with path.open("wb") as file:
        np.savez(
            file,
            **{f"array/{name}": value for name, value in program.arrays.items()},
            program=np.frombuffer(json.dumps(text, default=list).encode(), np.uint8),
        )


def read(path: Path) -> Program:
    """Read what `write` wrote; nothing in the file is executed.

    Raises:
        ValueError, KeyError, OSError: not such a file.
    """
    with np.load(path, allow_pickle=False) as file:
        text = json.loads(file["program"].tobytes())
        arrays = {key.removeprefix("array/"): file[key] for key in file.files if key != "program"}
    text["steps"] = [Step(**step) for step in text["steps"]]
    return Program(**text, arrays=arrays)
