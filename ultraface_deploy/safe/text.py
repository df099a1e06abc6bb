"""Text from elsewhere (file names, tensor names, answers of boards) made safe to show."""

from __future__ import annotations

import string
import unicodedata

_KEPT = "\t\n"
_PLAIN = f"{string.ascii_letters}{string.digits} _-."
# How a formula begins; the last two begin commands to other programs in some.
_FORMULA = ("=", "+", "-", "@", "|", "%")


def printable(text: str, kept: str = "") -> str:
    r"""Return text without control characters: each becomes a visible escape.

    A terminal obeys escape sequences and a newline in a file name would forge a result line.
    Bytes of a name that is not UTF-8 (which Python keeps as lone surrogates) become ``\xff``.

    Args:
        text: any text.
        kept: control characters that stay as they are, for text of several lines.
    """
    return "".join(
        character if character.isprintable() or character in kept else _escaped(character)
        for character in text
    )


def printable_lines(text: str) -> str:
    """Return text of several lines made safe: newlines and tabs stay."""
    return printable(text, _KEPT)


def counted(number: float, what: str) -> str:
    """Return `1 face`, `2 faces`, `2 classes`, `0.5 cores`."""
    ending = "" if number == 1 else "es" if what.endswith(("s", "x")) else "s"
    return f"{number:g} {what}{ending}" if isinstance(number, float) else f"{number} {what}{ending}"


def reason(error: Exception) -> str:
    """Return why a file could not be understood, in words of a file rather than of Python."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split())[:200] or type(error).__name__


def file_cell(name: str) -> str:
    r"""Return a file's name for a cell of a table that other programs read.

    What a terminal obeys is escaped as by `printable`, a backslash is then doubled, so that the
    name can be had back. A spreadsheet would run what begins with `=` and the like: such a name
    gets `./` in front, which is the same file.
    """
    safe = name.replace("\\", "\\\\")
    return _one_cell(f"./{safe}" if _is_run(safe) else safe)


def cell(text: str) -> str:
    """Return any other text for a cell: what a spreadsheet would run gets a `'` in front."""
    return _one_cell(f"'{text}" if _is_run(text) else text)


def c_literal(text: str) -> str:
    r"""Return text as a string literal of C and C++, in UTF-8; `été` is `"\303\251t\303\251"`.

    All but letters, digits and a few signs becomes three octal digits: these end by themselves,
    whatever follows, and neither quotes, newlines, trigraphs nor ends of comments remain.
    """
    signs = (chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(signs)}"'


def _is_run(text: str) -> bool:
    """Whether spreadsheets take it for a formula, also behind white space or in wide letters."""
    return unicodedata.normalize("NFKC", text.lstrip())[:1] in _FORMULA


def _one_cell(text: str) -> str:
    r"""Escape what separates cells in some spreadsheets: `;` as `\x3b`, and tabs."""
    return printable(text).replace(";", "\\x3b")


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isspace() and character not in "\n\r\t\v\f\x1c\x1d\x1e\x1f\x85":
        # No-break and other wide spaces do no harm.
        return character if character not in "\u2028\u2029" else f"\\u{ord(character):04x}"
    return character.encode("unicode_escape", "backslashreplace").decode()
