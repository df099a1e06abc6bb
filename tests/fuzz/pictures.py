"""Random pictures for the C detector under the compilers' sanitizers: `make fuzz-c`.

    python -m tests.fuzz.pictures --pictures 10000     # so many for each build
    python -m tests.fuzz.pictures --minutes 60         # as many as fit

A build is a compiler with its sanitizers and an instruction set. Each picture has a size from 1x1
to 4096x4096, a stride, a pixel format and options of its own and lies in memory of exactly its
size; each is followed by a call with one wrong argument. A fault ends with what the sanitizer says
and the arguments that bring it back.
"""

# Tested by tests/converters/c/test_sanitizers.py.

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.converters.c.conftest import FLOAT_SETS, SETS, SIZE, Case, write_case

PROGRAM = Path(__file__).parents[1] / "converters/c/sanitize.c"
SANITIZERS = {"gcc": "address,undefined", "clang": "memory"}
_SLICE = 250


@dataclass(frozen=True)
class Build:
    """A program made by a compiler with its sanitizers, and the instruction set that it uses."""

    compiler: str
    sanitizers: str
    kernels: str
    precision: str
    program: Path

    def __str__(self) -> str:
        return f"{self.compiler} -fsanitize={self.sanitizers}, {self.kernels}, {self.precision}"

    def run(self, pictures: int, seed: int) -> subprocess.CompletedProcess[str]:
        """Let it look at random pictures; status 0 where nothing was wrong."""
        environment = {**os.environ, "ULTRAFACE_KERNELS": self.kernels}
        command = [str(self.program), str(pictures), str(seed)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)


def builds(
    case: Case,
    folder: Path,
    compilers: Sequence[str] = tuple(SANITIZERS),
    precisions: Sequence[str] = ("int8", "fp32"),
) -> Iterator[Build]:
    """Compile with what is installed, for every instruction set that this processor has.

    The memory sanitizer follows no vector instructions, so it sees plain C alone.
    """
    for compiler, precision in itertools.product(compilers, precisions):
        if shutil.which(compiler) is not None:
            int8 = precision == "int8"
            source, sets = (case.source, SETS) if int8 else (case.float_source, FLOAT_SETS)
            program, sanitizers = folder / f"{compiler}-{precision}", SANITIZERS[compiler]
            flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-O1", "-g", "-w"]
            command = [compiler, *flags, f'-DSOURCE="{source}"', "-o", str(program), str(PROGRAM)]
            subprocess.run(command, check=True)
            for kernels in sets if compiler == "gcc" else ("portable",):
                build = Build(compiler, sanitizers, kernels, precision, program)
                if build.run(0, 0).stdout.strip() == kernels:
                    yield build


def main() -> None:
    """Run the builds by turns; exit 1 at the first fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000, help="for each build")
    parser.add_argument("--minutes", type=float, help="stop then, however many it were")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    end = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [
            build
            for network in ("slim-320", "rfb-320")
            for build in builds(write_case(network, SIZE, _new(folder / network)), folder / network)
        ]
        done, seed = 0, asked.seed
        while time.monotonic() < end if end else done < asked.pictures:
            many = _SLICE if end else min(_SLICE, asked.pictures - done)
            for build in made:
                answer = build.run(many, seed)
                if answer.returncode:
                    print(f"{build}: {many} {seed}\n{answer.stdout}{answer.stderr[:3000]}")
                    sys.exit(1)
                seed += 1
            done += many
        for build in made:
            print(f"{build}: {done} pictures, nothing found")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
