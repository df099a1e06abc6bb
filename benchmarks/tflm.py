"""The arena that tflite-micro needs for a `.tflite`, and whether it computes what LiteRT does.

python -m ultraface_deploy.benchmarks.tflm FILE... (needs `pip install tflite-micro`)
"""

# Tested by tests/backends/test_tflm.py.

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.backends.tflm import BACKEND, open_interpreter
from ultraface_deploy.benchmarks.command import command, existing


def micro(path: Path, arena: int) -> list[Any]:
    """Return the outputs in an arena of so many KiB, for an input of noise."""
    interpreter = open_interpreter(path, arena)
    interpreter.set_input(_noise(interpreter.get_input_details(0)), 0)
    interpreter.invoke()
    return [interpreter.get_output(place) for place in range(2)]


def reference(path: Path) -> list[Any]:
    """Return what LiteRT computes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    interpreter.set_tensor(given["index"], _noise(given))
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def _noise(details: Any) -> Any:
    generator, shape = np.random.default_rng(0), tuple(details["shape"])
    if details["dtype"] == np.int8:
        return generator.integers(-128, 128, shape, np.int8)
    return generator.uniform(-1, 1, shape).astype(np.float32)


def main() -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=existing, nargs="+")
    arguments = parser.parse_args()
    BACKEND.require()
    for path in arguments.files:
        arena = BACKEND.arena_kib([path])
        pairs = zip(micro(path, arena), reference(path), strict=True)
        apart = max(float(np.abs(had.astype(float) - want).max()) for had, want in pairs)
        print(f"{path.name}: arena {arena} KiB, differs from LiteRT by at most {apart:g}")


if __name__ == "__main__":
    command(main)
