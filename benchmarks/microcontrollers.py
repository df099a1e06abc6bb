"""The detector in C on emulated microcontrollers: instructions of a detection, and memory.

    python -m ultraface_deploy.benchmarks.microcontrollers DIR

DIR holds the artifact `c-int8`. Needs qemu-system-arm, gcc-arm-none-eabi and
libnewlib-arm-none-eabi. The portable kernels run on the bare processor of a board of Arm's, with a
picture of the network's size in RGB565. The emulator gives every instruction the same time, so
instructions are counted by the processor's clock, beside a loop of known length.
"""

# Tested by tests/converters/c/test_microcontrollers.py.

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.benchmarks.command import command, existing
from ultraface_deploy.benchmarks.native import arena_bytes, resized
from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

PROGRAMS = {"arm-none-eabi-gcc": "gcc-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}
_PROGRAM = Path(__file__).with_name("native_board.c")
_LOOP_INSTRUCTIONS = 2 * 10_000_000
_TIMEOUT_S = 600
_SCRIPT = """
MEMORY {{ code : ORIGIN = 0, LENGTH = 512K  data : ORIGIN = {origin}, LENGTH = {kilobytes}K }}
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.ARM.exidx*) }} > code
  .bss (NOLOAD) : {{ bss_begin = .; *(.bss*) *(COMMON) . = ALIGN(4); bss_end = .; }} > data
  stack_top = {origin} + {kilobytes}K;
}}
"""


@dataclass(frozen=True)
class Board:
    """A core, the emulated board that has it, and the board's memory for data; code lies at 0."""

    core: str
    machine: str
    origin: int
    kilobytes: int


BOARDS = (
    Board("cortex-m7", "mps2-an500", 0x2000_0000, 4096),
    Board("cortex-m55", "mps3-an547", 0x2100_0000, 2048),
)


@dataclass(frozen=True)
class Detection:
    """What a board says.

    `faces` has a row (x1, y2, score) for each face, in 256ths of a pixel and with 24 bits behind
    the point.
    """

    instructions: float
    faces: npt.NDArray[np.int64]


def rgb565(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, 3) as (H, W, 2), the low byte first."""
    blue, green, red = (bgr[..., i].astype(np.uint16) for i in range(3))
    words = (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).astype("<u2")
    return np.ascontiguousarray(words.view(np.uint8).reshape(*words.shape, 2))


def detect(source: Path, board: Board, picture: npt.NDArray[np.uint8]) -> Detection:
    """Let an emulated board detect faces.

    Args:
        source: the C file in INT8.
        board: where it runs.
        picture: RGB565 of the network's size.

    Raises:
        MissingDependency: the emulator or the cross compiler is not installed.
    """
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise MissingDependency(f"needs {program}; on Debian: apt install {package}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "picture.raw").write_bytes(picture.tobytes())
        script, program_file = folder / "board.ld", folder / "program.elf"
        script.write_text(_SCRIPT.format(origin=board.origin, kilobytes=board.kilobytes))
        command = ["arm-none-eabi-gcc", f"-mcpu={board.core}", "-mthumb", "-O2", "-w"]
        command += ["-ffreestanding", "-nostartfiles"]
        command += ["-DULTRAFACE_THREADS=1", "-DULTRAFACE_NO_ENVIRONMENT"]
        command += [f'-DSOURCE="{source.resolve()}"', "-T", str(script), "-o", str(program_file)]
        subprocess.run([*command, str(_PROGRAM), "-lc", "-lgcc"], check=True)
        emulator = ["qemu-system-arm", "-M", board.machine, "-nographic", "-icount", "shift=0"]
        emulator += ["-semihosting-config", "enable=on,target=native"]
        answer = subprocess.run(
            [*emulator, "-kernel", str(program_file)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    loop, ticks, count, *numbers = map(int, (answer.stdout + answer.stderr).split())
    faces = np.array(numbers, np.int64).reshape(count, 3)
    return Detection(ticks * _LOOP_INSTRUCTIONS / loop, faces)


def main() -> None:
    """Print a line for each board."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=existing)
    folder = ArtifactFolder.open(parser.parse_args().folder)
    picture = rgb565(resized(read_image(DEMO_PHOTO), folder))
    source = folder.files(folder.find("c", "int8"))[0]
    for board in BOARDS:
        millions = detect(source, board, picture).instructions / 1e6
        print(f"{board.core} ({board.machine}): {millions:.1f} million instructions")
    print(f"arena for one thread: {arena_bytes(folder)[1]} bytes")


if __name__ == "__main__":
    command(main)
