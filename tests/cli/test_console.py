"""What is printed is literal: no markup, no escape sequence."""

from __future__ import annotations

import io
import re

import pytest
from rich.table import Table

from ultraface_deploy.cli.console import _Literal


def shown(content: object) -> str:
    out = io.StringIO()
    _Literal(file=out, width=80).print(content)
    return out.getvalue()


def test_markup_in_messages_and_table_cells_is_text() -> None:
    advice = "pip install 'ultraface-deploy[mnn]'"
    assert advice in shown(advice)
    table = Table()
    table.add_column("[red]heading")
    table.add_row(advice)
    assert advice in shown(table) and "[red]heading" in shown(table)


def test_escape_sequences_in_a_cell_are_shown() -> None:
    table = Table()
    table.add_column("name")
    table.add_row("a\x1b]0;title\x07b")
    assert "a\\x1b]0;title\\x07b" in shown(table)


def figures() -> Table:
    table = Table(title="differences")
    table.add_column("artifact", overflow="fold")
    for heading in ("scores", "verdict"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("a-network-of-mine-with-a-long-name-int8", "1.1e-06", "no difference shown")
    table.add_row("onnx", "8.3e-07", "smaller")
    return table


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80])
def test_a_terminal_too_narrow_for_a_table_cuts_no_figure(width: int) -> None:
    out = io.StringIO()
    _Literal(file=out, width=width, force_terminal=True, no_color=True).print(figures())
    printed = out.getvalue()
    for text in ("1.1e-06", "8.3e-07", "no difference shown"):
        assert text in printed
    assert "…" not in printed
    if width < 60:
        rows = printed.split("\n\n")[1:]
        assert rows[1].strip("\n").split("\n") == [
            "artifact  onnx",
            "scores    8.3e-07",
            "verdict   smaller",
        ]
    else:
        plain = re.sub(r"\x1b\[\d*m", "", printed)
        assert max(map(len, plain.splitlines())) <= width


def test_a_pipe_has_no_width() -> None:
    """The longest cell stands in one line, with its frame, wider than the console says."""
    out = io.StringIO()
    _Literal(file=out, width=20).print(figures())
    assert "no difference shown │" in out.getvalue()
