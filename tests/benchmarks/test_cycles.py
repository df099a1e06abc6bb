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


needs_steps = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="needs x86-64 Linux and a C compiler",
)

# All branches there are, taken and not: conditions of two numbers compared, loops, calls through
# registers and memory, "ret" that takes arguments away; then code of the C library.
BRANCHES = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define IF(name) __asm__ volatile("cmpq %2, %1; j" #name " 1f; addq $1, %0; 1:" \
                                  : "+r"(sum) : "r"(a), "r"(b) : "cc"); sum *= 3;
#define FAR(name) __asm__ volatile("cmpq %2, %1; j" #name " 1f; addq $1, %0; .skip 200, 0x90; 1:" \
                                   : "+r"(sum) : "r"(a), "r"(b) : "cc"); sum *= 5;
#define LOOP(name) __asm__ volatile("movq $9, %%rcx; 1: addq $1, %0; cmpq $4, %%rcx; " name " 1b" \
                                    : "+r"(sum) : : "rcx", "cc"); sum *= 7;
static uint64_t conditions(int64_t a, int64_t b)
{
    uint64_t sum = 1;
    IF(o) IF(no) IF(b) IF(ae) IF(e) IF(ne) IF(be) IF(a) IF(s) IF(ns) IF(p) IF(np) IF(l) IF(ge)
    IF(le) IF(g)
    FAR(o) FAR(b) FAR(e) FAR(be) FAR(s) FAR(p) FAR(l) FAR(le) FAR(ne) FAR(g)
    LOOP("loop") LOOP("loope") LOOP("loopne")
    __asm__ volatile("movq %1, %%rcx; jrcxz 1f; addq $1, %0; 1:" : "+r"(sum) : "r"(b) : "rcx");
    return sum;
}
static uint64_t (*volatile through[2])(int64_t, int64_t) = {conditions, conditions};
__asm__("takes: movq 8(%rsp), %rax; addq %rax, %rax; ret $8");
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
uint64_t work(char *text)
{
    static int64_t numbers[] = {0, 1, -1, 4, INT64_MAX, INT64_MIN};
    uint64_t sum = 0, twice;
    for (int i = 0; i < 36; i++)
        sum = 11 * sum + through[i & 1](numbers[i / 6], numbers[i % 6]);
    __asm__ volatile("pushq $21; call takes; movq %%rax, %0" : "=r"(twice) : : "rax", "memory");
    int many[500];
    for (int i = 0; i < 500; i++)
        many[i] = i * 7919 % 500;
    qsort(many, 500, sizeof *many, compare);
    memset(text, 0, 100);
    snprintf(text, 100, "%d %.9f %d %d", (int)twice, sum / 3e19, many[7], (int)strlen("abc"));
    return sum;
}
"""


@needs_steps
def test_what_is_stepped_through_computes_the_same(tmp_path: Path) -> None:
    (tmp_path / "work.c").write_text(BRANCHES)
    library = _library(tmp_path / "work.c", "-mno-red-zone")
    code = """import ctypes, sys
x = ctypes.CDLL(sys.argv[1])
x.work.restype = ctypes.c_uint64
before, after = (ctypes.create_string_buffer(100) for _ in range(2))
wanted = x.work(before)
x.start()
found = [x.work(after) for _ in range(2)]
x.stop(sys.argv[2].encode())
assert found == [wanted] * 2, (found, wanted)
assert before.raw == after.raw and before.value.startswith(b"42 "), after.raw
assert x.work(after) == wanted"""
    subprocess.run([sys.executable, "-c", code, library, tmp_path / "out"], check=True)


@needs_steps
def test_every_instruction_is_counted(tmp_path: Path) -> None:
    """In a process of its own: a loop of 1,000 turns, written in assembly."""
    source = tmp_path / "loop.c"
    source.write_text(
        'void loop(void) { __asm__ volatile("movl $1000, %%eax; 1: nop; decl %%eax; jnz 1b" '
        '::: "eax", "cc"); }\n'
    )
    library, out = _library(source), tmp_path / "steps"
    code = "import ctypes, sys; x = ctypes.CDLL(sys.argv[1]); x.start(); x.loop()"
    code += "; sys.exit(x.stop(sys.argv[2].encode()))"
    subprocess.run([sys.executable, "-c", code, library, out], check=True)
    rows = [line.split() for line in out.read_text().splitlines()]
    thousand = [bytes.fromhex(row[2]) for row in rows if row[1] == "1000"]
    assert sum(code.startswith(b"\x90") for code in thousand) == 1
    assert sum(code.startswith(b"\xff\xc8") for code in thousand) == 1
    assert sum(code.startswith(b"\x75") for code in thousand) == 1


def _library(source: Path, *options: str) -> Path:
    """The source and the stepper in one."""
    steps = Path(cycles.__file__).with_name("steps.c")
    library = source.with_suffix(".so")
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = ["cc", *warnings, "-shared", "-fPIC", "-O1", *options, "-o", library, source, steps]
    subprocess.run(command, check=True)
    return library
