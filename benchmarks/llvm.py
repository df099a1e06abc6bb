"""Cycles of code that was stepped through, estimated by llvm-mca's model of a processor."""

# Tested by tests/benchmarks/test_cycles.py.

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ultraface_deploy.errors import MissingDependency, ToolFailed

_COVERED = 0.97
_ITERATIONS = 100
# Stands between instructions that are taken apart; no compiler writes it.
_FENCE_BYTES = "[0x0f 0x1f 0x84 0x00 0x78 0x56 0x34 0x12]"
_FENCE = "nopl 305419896(%rax,%rax)"
_VERSIONS = range(30, 18, -1)


@dataclass(frozen=True)
class Instruction:
    """One address: how often it was executed, what stands there, and how long it is."""

    address: int
    executed: int
    text: str
    length: int

    @property
    def branches(self) -> bool:
        """Whether what is executed next need not stand behind it."""
        return self.text.startswith(("j", "call", "ret"))


def mca(name: str = "llvm-mca") -> str:
    """Return the newest of LLVM's programs by this name.

    Raises:
        MissingDependency: there is none of LLVM 19 or later.
    """
    for version in _VERSIONS:
        if found := shutil.which(f"{name}-{version}"):
            return found
    raise MissingDependency(f"{name} of LLVM 19 or later is not installed: apt install llvm-19")


def estimated_cycles(blocks: Sequence[str], triple: str, cpu: str) -> list[float]:
    """Return the cycles that each block of assembly takes, repeated, by llvm-mca's model.

    Raises:
        MissingDependency: llvm-mca is not installed.
        ToolFailed: it did not understand a block.
    """
    regions = (f"# LLVM-MCA-BEGIN {i}\n{b}\n# LLVM-MCA-END" for i, b in enumerate(blocks))
    mark = "#" if triple.startswith("x86") else "//"
    text = "\n".join(regions).replace("# LLVM", f"{mark} LLVM") + "\n"
    command = [mca(), f"-mtriple={triple}", f"-mcpu={cpu}", f"-iterations={_ITERATIONS}"]
    command += ["-skip-unsupported-instructions=any", "--json"]
    command += ["-mattr=+dotprod"] if triple == "aarch64" else []
    printed = output_of(command, text)
    found = json.loads(printed[printed.index("{") :])["CodeRegions"]
    cycles = {int(each["Name"]): each["SummaryView"]["TotalCycles"] for each in found}
    return [cycles.get(number, 0) / _ITERATIONS for number in range(len(blocks))]


def instructions_of(steps: str, cpu: str) -> list[Instruction]:
    """Return what was stepped through, by address; see `steps.c`."""
    rows = sorted((int(a, 16), int(n), code) for a, n, code in map(str.split, steps.splitlines()))
    pieces = (" ".join(f"0x{code[i : i + 2]}" for i in range(0, 32, 2)) for _, _, code in rows)
    command = [mca("llvm-mc"), "--disassemble", "-triple=x86_64", f"-mcpu={cpu}"]
    command += ["-mattr=+avx512fp16", "--show-encoding"]
    text = "".join(f"[{piece}]\n{_FENCE_BYTES}\n" for piece in pieces)
    # Sixteen bytes end in the middle of an instruction, and may begin with one it does not know.
    printed = output_of(command, text, refusals=True)
    groups: list[list[tuple[str, int]]] = [[]]
    for line in printed.splitlines():
        text, _, encoding = line.partition("# encoding: [")
        words = re.sub(r"\s+", " ", text).strip()
        if words == _FENCE:
            groups.append([])
        elif encoding:
            groups[-1].append((words, encoding.count(",") + 1))
    return [
        Instruction(address, executed, *group[0])
        for (address, executed, _), group in zip(rows, groups, strict=False)
        if group
    ]


def blocks_of(instructions: Iterable[Instruction]) -> list[list[Instruction]]:
    """Return the runs that are executed from their beginning to their end."""
    blocks: list[list[Instruction]] = []
    for each in instructions:
        last = blocks[-1][-1] if blocks else None
        follows = last is not None and last.address + last.length == each.address
        if last and follows and not last.branches and last.executed == each.executed:
            blocks[-1].append(each)
        else:
            blocks.append([each])
    return blocks


def estimate(steps: str, cpu: str) -> tuple[int, float, float]:
    """Return all instructions, the estimated cycles of all, and the share that was estimated."""
    total = sum(int(line.split()[1]) for line in steps.splitlines())
    blocks = blocks_of(instructions_of(steps, cpu))
    blocks.sort(key=lambda block: -block[0].executed * len(block))
    weights = [block[0].executed * len(block) for block in blocks]
    kept = int(np.searchsorted(np.cumsum(weights), _COVERED * total)) + 1
    covered = sum(weights[:kept])
    texts = ["\n".join(each.text for each in block) for block in blocks[:kept]]
    per_turn = estimated_cycles(texts, "x86_64", cpu)
    cycles = sum(block[0].executed * turn for block, turn in zip(blocks, per_turn, strict=False))
    return total, cycles * total / covered, covered / total


def output_of(command: Sequence[str], text: str, refusals: bool = False) -> str:
    """Return what a program prints; with `refusals` it may dislike parts of its input."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode and not refusals:
        raise ToolFailed(f"{command[0]}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return done.stdout
