"""What is printed is literal: no markup, no escape sequence."""

from __future__ import annotations

import io

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
