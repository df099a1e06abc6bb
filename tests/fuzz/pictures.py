"""Random pictures for the C detector under the compilers' sanitizers: `make fuzz-c`.

    python -m tests.fuzz.pictures --pictures 10000     # so many for each sanitizer
    python -m tests.fuzz.pictures --minutes 60         # as many as fit

The pictures of a sanitizer are shared by both networks in INT8 and FP32. Each picture has a size
from 1x1 to 4096x4096, as many below 64 as above, a stride, a pixel format, options and an
instruction set of its own and lies in memory of exactly its size; each is followed by a call with
one wrong argument. A fault ends with what the sanitizer says and the arguments that bring it back.
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

from tests.converters.c.conftest import SIZE, Case, write_case

PROGRAM = Path(__file__).parents[1] / "converters/c/sanitize.c"
SANITIZERS = {"gcc": "address,undefined", "clang": "memory"}
_SLICE = 100


@dataclass(frozen=True)
class Build:
    """A program made by a compiler with its sanitizers.

    The memory sanitizer follows no vector instructions, so it sees plain C alone.
    """

    compiler: str
    precision: str
    program: Path

    @property
    def sanitizers(self) -> str:
        """As the compiler names them."""
        return SANITIZERS[self.compiler]

    def __str__(self) -> str:
        network = self.program.parent.name
        return f"{self.compiler} -fsanitize={self.sanitizers}, {network}, {self.precision}"

    def run(self, pictures: int, seed: int) -> subprocess.CompletedProcess[str]:
        """Let it look at random pictures; status 0 where nothing was wrong."""
        environment = dict(os.environ)
        environment.pop("ULTRAFACE_KERNELS", None)
        if self.sanitizers == "memory":
            environment["ULTRAFACE_KERNELS"] = "portable"
        command = [str(self.program), str(pictures), str(seed)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)


def builds(
    case: Case,
    folder: Path,
    compilers: Sequence[str] = tuple(SANITIZERS),
    precisions: Sequence[str] = ("int8", "fp32"),
) -> Iterator[Build]:
    """Compile with what is installed."""
    for compiler, precision in itertools.product(compilers, precisions):
        if shutil.which(compiler) is not None:
            source = case.source if precision == "int8" else case.float_source
            build = Build(compiler, precision, folder / f"{compiler}-{precision}")
            flags = [f"-fsanitize={build.sanitizers}", "-fno-sanitize-recover=all", "-O1", "-g"]
            command = [compiler, *flags, "-w", f'-DSOURCE="{source}"', "-o", str(build.program)]
            subprocess.run([*command, str(PROGRAM)], check=True)
            yield build


def main() -> None:
    """Run the builds by turns; exit 1 at the first fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000, help="for each sanitizer")
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
        for build in made:
            print(f"{build}: {', '.join(build.run(0, 0).stdout.split())}", flush=True)
        share = -(-asked.pictures * len(SANITIZERS) // len(made))
        done, seed = 0, asked.seed
        while time.monotonic() < end if end else done < share:
            many = _SLICE if end else min(_SLICE, share - done)
            for build in made:
                answer = build.run(many, seed)
                if answer.returncode:
                    print(f"{build}: {many} {seed}\n{answer.stdout}{answer.stderr[:3000]}")
                    sys.exit(1)
                seed += 1
            done += many
            print(f"{done} pictures for each program", flush=True)
        for build in made:
            print(f"{build}: {done} pictures, nothing found")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
