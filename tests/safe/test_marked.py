"""Tables between the markers of a Markdown file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.marked import insert, markers


def test_only_what_stands_between_the_markers_of_that_name_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    first, last = markers("boards")
    other = "\n".join(markers("accuracy"))
    page.write_text(f"{other}\nbefore\n{first}\nold\n{last}\nafter\n")
    for _ in range(2):
        insert("| new |\n", page, "boards")
        assert page.read_text() == f"{other}\nbefore\n{first}\n| new |\n{last}\nafter\n"


@pytest.mark.parametrize("content", ["nothing\n", "<!-- boards:begin -->\n"])
def test_a_file_without_markers_stays_as_it_is(content: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(InputError, match="boards:begin"):
        insert("| new |\n", page, "boards")
    assert page.read_text() == content
