"""The same faces on emulated Cortex-M boards, from RGB565; part of `make test-c`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.converters.c.conftest import Case, Library, needs, pictures

pytestmark = pytest.mark.native

PROGRAM = Path(__file__).with_name("microcontroller.c")
# Where the boards' memory for data begins, and how much there is; code lies at zero.
BOARDS = [
    ("cortex-m7", "mps2-an500", 0x2000_0000, 4096),
    ("cortex-m55", "mps3-an547", 0x2100_0000, 2048),
]
SCRIPT = """
MEMORY {{ code : ORIGIN = 0, LENGTH = 512K  data : ORIGIN = {origin}, LENGTH = {size}K }}
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.ARM.exidx*) }} > code
  .bss (NOLOAD) : {{ bss_begin = .; *(.bss*) *(COMMON) . = ALIGN(4); bss_end = .; }} > data
  stack_top = {origin} + {size}K;
}}
"""


@pytest.mark.parametrize(("core", "board", "origin", "size"), BOARDS)
def test_the_same_faces_on_a_microcontroller(
    core: str,
    board: str,
    origin: int,
    size: int,
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
    tmp_path: Path,
) -> None:
    compiler, emulator = needs("arm-none-eabi-gcc"), needs("qemu-system-arm")
    case, library = make_case("slim-320"), open_library("slim-320")
    blue, green, red = (pictures(case.spec)[3][..., i].astype(np.uint16) for i in range(3))
    words = (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).astype("<u2")
    (tmp_path / "picture.raw").write_bytes(words.tobytes())
    script, program = tmp_path / "board.ld", tmp_path / "program.elf"
    script.write_text(SCRIPT.format(origin=origin, size=size))
    command = [compiler, f"-mcpu={core}", "-mthumb", "-O2", "-w", "-ffreestanding", "-nostartfiles"]
    command += ["-DULTRAFACE_THREADS=1", "-DULTRAFACE_NO_ENVIRONMENT", f'-DSOURCE="{case.source}"']
    command += ["-T", str(script), "-o", str(program), str(PROGRAM), "-lc", "-lgcc"]
    subprocess.run(command, check=True)
    lend = ["-semihosting-config", "enable=on,target=native"]
    answer = subprocess.run(
        [emulator, "-M", board, "-nographic", *lend, "-kernel", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = [int(word) for word in (answer.stdout + answer.stderr).split()]
    pixels = np.ascontiguousarray(words.view(np.uint8).reshape(*words.shape, 2))
    wanted = library.detect(pixels, format=3, threshold=0.05, capacity=20)
    assert len(wanted) > 0
    assert said[0] == len(wanted)
    scaled = wanted[:, [0, 3, 4]] * [256, 256, 1 << 24]
    assert said[1:] == [int(value) for value in scaled.ravel()]
