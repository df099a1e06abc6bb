"""Tables that commands write into Markdown files, between two markers."""

from __future__ import annotations

from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import read_text, require_file, write_text


def markers(name: str) -> tuple[str, str]:
    """Return the lines between which the table of a name stands."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def insert(table: str, path: Path, name: str) -> None:
    """Replace what stands between the two markers of a Markdown file.

    Raises:
        InputError: there is no such file, or it lacks the markers.
    """
    before, after = _around(path, name)
    first, last = markers(name)
    write_text(path, f"{before}{first}\n{table}{last}{after}")


def require_markers(path: Path, name: str) -> None:
    """Refuse a Markdown file into which a table cannot go, before the table is measured.

    Raises:
        InputError: there is no such file, or it lacks the markers.
    """
    _around(path, name)


def _around(path: Path, name: str) -> tuple[str, str]:
    """Return what stands before the first marker and after the last."""
    require_file(path, "Markdown file")
    first, last = markers(name)
    before, begin, rest = read_text(path).partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise InputError(f"{path}: lacks the lines {first} and {last}; add them where it belongs")
    return before, after
