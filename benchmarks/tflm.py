"""The arena that tflite-micro needs for a `.tflite`, and whether it computes what LiteRT does.

python -m ultraface_deploy.benchmarks.tflm FILE... (needs `pip install tflite-micro`)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

_SMALLEST, _LARGEST, _STEP = 32, 16 * 1024, 4  # KiB


def run(path: Path, arena: int) -> list[Any]:
    """Return the outputs in an arena of so many KiB, for an input of zeros and one of noise."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path), arena_size=arena * 1024)
    given = interpreter.get_input_details(0)
    interpreter.set_input(_noise(given), 0)
    interpreter.invoke()
    return [interpreter.get_output(place) for place in range(2)]


def fits(path: Path, arena: int) -> bool:
    """Whether the network runs in an arena; asked in a child, as too small a one may crash."""
    command = [sys.executable, "-m", __spec__.name, str(path), "--arena", str(arena)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def smallest_arena(path: Path) -> int:
    """Return the smallest arena in KiB, to 4 KiB."""
    low, high = _SMALLEST, _LARGEST
    while high - low > _STEP:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(path, middle) else (middle, high)
    return high


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
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--arena", type=int, help="run once in this many KiB, and only that")
    arguments = parser.parse_args()
    if arguments.arena is not None:
        run(arguments.files[0], arguments.arena)
        return
    for path in arguments.files:
        arena = smallest_arena(path)
        pairs = zip(run(path, arena), reference(path), strict=True)
        apart = max(float(np.abs(had.astype(float) - want).max()) for had, want in pairs)
        print(f"{path.name}: arena {arena} KiB, differs from LiteRT by at most {apart:g}")


if __name__ == "__main__":
    main()
