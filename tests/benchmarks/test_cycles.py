"""What llvm-mca is asked of the code that ran, and how ranks compare."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ultraface_deploy.benchmarks import cycles
from ultraface_deploy.benchmarks.cycles import CORES, KERNELS, rank_correlation
from ultraface_deploy.benchmarks.llvm import (
    Instruction,
    blocks_of,
    estimated_cycles,
    instructions_of,
    mca,
)
from ultraface_deploy.errors import MissingDependency


@pytest.fixture
def llvm() -> None:
    try:
        mca()
        mca("llvm-mc")
    except MissingDependency as error:
        pytest.skip(str(error))


def test_a_block_ends_where_something_else_may_follow() -> None:
    code = [
        Instruction(0, 5, "movl (%rdi), %eax", 2),
        Instruction(2, 5, "jne 0", 2),
        Instruction(4, 5, "retq", 1),
        Instruction(9, 5, "nop", 1),
        Instruction(10, 6, "nop", 1),
        Instruction(11, 6, "nop", 1),
    ]
    assert [len(block) for block in blocks_of(code)] == [2, 1, 1, 2]


def test_ranks_agree_as_far_as_the_order_does() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 400]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # 1 - 6 * (1 + 1) / (4 * 15)
    assert rank_correlation([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(0.8)


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match="llvm-mca of LLVM 19 or later is not installed"):
        mca()


@pytest.mark.usefixtures("llvm")
def test_what_was_stepped_through_is_taken_apart() -> None:
    # vfmadd231ps %zmm1, %zmm2, %zmm3; jne -8; an opcode that is none
    rows = ["1000 7 62f26d48b8d9", "1006 7 75f8", "2000 1 06"]
    steps = "\n".join(map(_padded, rows))
    found = instructions_of(steps, "sapphirerapids")
    assert [(each.address, each.executed, each.length) for each in found[:2]] == [
        (0x1000, 7, 6),
        (0x1006, 7, 2),
    ]
    assert found[0].text == "vfmadd231ps %zmm1, %zmm2, %zmm3"
    assert found[1].branches and not found[0].branches


def _padded(row: str) -> str:
    start, code = row.rsplit(" ", 1)
    return f"{start} {code:0<32}"


@pytest.mark.usefixtures("llvm")
def test_a_chain_takes_longer_than_independent_instructions() -> None:
    chain = "\n".join(["mulps %xmm0, %xmm0"] * 4)
    apart = "\n".join(f"mulps %xmm8, %xmm{n}" for n in range(4))
    first, second = estimated_cycles([chain, apart], "x86_64", "sapphirerapids")
    assert first == pytest.approx(16, rel=0.1)
    assert second < first


@pytest.mark.usefixtures("llvm")
def test_the_model_of_the_a76_is_that_of_the_a57() -> None:
    """Why no cycles are estimated: once this fails, there is a model to try."""
    kernels = list(KERNELS.values())
    found = {core: estimated_cycles(kernels, "aarch64", core) for core in CORES}
    assert found["cortex-a76"] == found["cortex-a72"] == found["cortex-a57"]
    assert found["neoverse-n1"] != found["cortex-a76"]


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="needs x86-64 Linux and a C compiler",
)
def test_every_instruction_is_counted(tmp_path: Path) -> None:
    """In a process of its own: a loop of 1,000 turns, written in assembly."""
    source = tmp_path / "loop.c"
    source.write_text(
        'void loop(void) { __asm__ volatile("movl $1000, %%eax; 1: nop; decl %%eax; jnz 1b" '
        '::: "eax", "cc"); }\n'
    )
    steps, library = Path(cycles.__file__).with_name("steps.c"), tmp_path / "x.so"
    subprocess.run(
        [
            "cc",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-O1",
            "-o",
            library,
            source,
            steps,
        ],
        check=True,
    )
    out = tmp_path / "steps"
    code = "import ctypes, sys; x = ctypes.CDLL(sys.argv[1]); x.start(); x.loop()"
    code += "; sys.exit(x.stop(sys.argv[2].encode()))"
    subprocess.run([sys.executable, "-c", code, library, out], check=True)
    rows = [line.split() for line in out.read_text().splitlines()]
    thousand = [bytes.fromhex(row[2]) for row in rows if row[1] == "1000"]
    assert sum(code.startswith(b"\x90") for code in thousand) == 1
    assert sum(code.startswith(b"\xff\xc8") for code in thousand) == 1
