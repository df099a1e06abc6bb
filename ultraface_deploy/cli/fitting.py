"""Tables in a terminal that is too narrow for them: a figure that is cut says something else."""

# Tested by tests/cli/test_console.py.

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

# A name that may be folded is still read in pieces of this length.
_FOLDED = 16
_UNBOUNDED = 100_000


def needed(table: Table, console: Console) -> int:
    """Return how many characters a table needs so that none of its cells is cut."""
    wide = console.options.update(width=_UNBOUNDED)
    whole = Measurement.get(console, wide, table).maximum
    frame = whole - sum(max(map(len, _lines(each)), default=0) for each in table.columns)
    return frame + sum(map(_least, table.columns))


def as_lines(table: Table) -> str:
    """Return a table as blocks of lines, a block for each row: heading and cell."""
    headings = [_text(column.header) for column in table.columns]
    room = max(map(len, headings), default=0) + 2
    blocks = [
        "\n".join(
            f"{heading:<{room}}{_text(cell)}".rstrip()
            for heading, cell in zip(headings, row, strict=True)
        )
        for row in zip(*(column.cells for column in table.columns), strict=True)
    ]
    around = [_text(each) for each in (table.title, table.caption)]
    return "\n\n".join(part for part in (around[0], *blocks, around[1]) if part) + "\n"


def _least(column: Column) -> int:
    if column.no_wrap:
        return max(map(len, _lines(column)), default=0)
    longest = max((len(word) for line in _lines(column) for word in line.split()), default=0)
    return min(longest, _FOLDED) if column.overflow == "fold" else longest


def _lines(column: Column) -> Iterator[str]:
    for cell in (column.header, *column.cells):
        yield from _text(cell).splitlines()


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)
