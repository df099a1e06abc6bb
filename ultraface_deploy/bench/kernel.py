"""What the kernel shows of a machine as files: texts and numbers below a root.

Tests show it another machine that way. What a machine does not expose is None or absent, never a
guess.
"""

# Tested by tests/bench/test_machine.py.

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")
CPU = "sys/devices/system/cpu"


def number(path: Path) -> float | None:
    """Return the number that a file holds, None where there is none."""
    said = text(path)
    try:
        return None if said is None else float(said)
    except ValueError:
        return None


def text(path: Path) -> str | None:
    """Return what a file says, None where it cannot be read."""
    try:
        return path.read_text().strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None


def core_numbers(root: Path) -> list[int]:
    """Return the numbers of all cores, whoever may use them."""
    names: Iterable[str] = (path.name[3:] for path in (root / CPU).glob("cpu[0-9]*"))
    return sorted(int(name) for name in names if name.isdecimal())
