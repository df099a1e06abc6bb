"""What a terminal would obey is shown instead."""

from __future__ import annotations

import ast
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.safe.text import (
    c_literal,
    cell,
    counted,
    file_cell,
    printable,
    printable_lines,
    reason,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("portrait.jpg", "portrait.jpg"),
        ("[mnn] ärger 顔.jpg", "[mnn] ärger 顔.jpg"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("one\nerror: two", "one\\nerror: two"),
        ("\x9b31m", "\\x9b31m"),
        ("right-to-left \u202egpj.exe", "right-to-left \\u202egpj.exe"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_nothing_unprintable_is_left_and_any_terminal_can_encode_it(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert "\n" not in shown and "\x1b" not in shown
    shown.encode("utf-8")


def test_text_of_several_lines_keeps_them() -> None:
    assert printable_lines("a\tb\nc\r\x07") == "a\tb\nc\\r\\x07"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.jpg", "a.jpg"),
        ("=HYPERLINK(1).jpg", "./=HYPERLINK(1).jpg"),
        ("@a", "./@a"),
        *((f"{first}1", f"./{first}1") for first in "-+|%"),
        ("\t=1", "./\\t=1"),
        ("\r@1", "./\\r@1"),
        (" =1", "./ =1"),
        ("\uff1d1", "./\uff1d1"),
        ("a;=1", "a\\x3b=1"),
        ("a\n\x1b[31m", "a\\n\\x1b[31m"),
        ("a\\n", "a\\\\n"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
    ],
)
def test_names_in_tables_are_not_run_and_can_be_had_back(name: str, shown: str) -> None:
    assert file_cell(name) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("=1", "'=1"), ("\t+1", "'\\t+1"), ("a;@1", "a\\x3b@1"), ("3.6.1", "3.6.1")]
)
def test_other_text_in_tables_is_not_run(text: str, shown: str) -> None:
    assert cell(text) == shown


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("no mask_1-2.", '"no mask_1-2."'),
        ("", '""'),
        ("\u00e97", r'"\303\2517"'),
        ('"\\', r'"\042\134"'),
        ("*/ ??/ %s\n", r'"\052\057 \077\077\057 \045s\012"'),
    ],
)
def test_text_as_c_reads_it(text: str, literal: str) -> None:
    """Compiled by tests/converters/c/test_classes.py and tests/sdk/test_project.py."""
    assert c_literal(text) == literal


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_c_literal_is_the_text_and_ends_where_it_does(text: str) -> None:
    literal = c_literal(text)
    assert not set(literal[1:-1]) & set("\"?*/\n%@'")
    assert ast.literal_eval(f"b{literal}").decode() == text


def test_why_a_file_is_not_understood_is_said_of_the_file() -> None:
    assert reason(KeyError("images")) == "'images' is missing"
    assert reason(ValueError("two\nlines")) == "two lines"
    assert reason(ValueError()) == "ValueError"


def test_counted() -> None:
    assert [counted(n, "face") for n in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]
    assert [counted(n, "box") for n in (1, 2)] == ["1 box", "2 boxes"]
    assert [counted(n, "core") for n in (0.5, 1.0)] == ["0.5 cores", "1 core"]
