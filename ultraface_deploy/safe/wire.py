"""Protobuf files counted before they are parsed: two bytes in a file can become an object of 200.

Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Mapping

Fields = Mapping[str, Mapping[int, str]]
"""Message -> number of a field -> the message that it holds; all other fields are skipped."""

MOST_FIELDS = 300_000
"""A network of this family has some thousands."""
_DEEPEST = 100
_FIXED = {1: 8, 5: 4}


def count_fields(content: bytes, message: str, fields: Fields, most: int = MOST_FIELDS) -> int:
    """Return how many fields a message and all messages in it have.

    Args:
        content: the file.
        message: what it holds.
        fields: what leads to further messages.
        most: where counting stops.

    Raises:
        ValueError: there are more, or it is not such a file.
    """
    counted = 0
    left = [(0, len(content), message, 0)]
    while left:
        at, end, kind, depth = left.pop()
        if depth > _DEEPEST:
            raise ValueError(f"messages nested more than {_DEEPEST} deep")
        inner = fields.get(kind, {})
        while at < end:
            counted += 1
            if counted > most:
                raise ValueError(f"more than {most} fields")
            tag, at = _number(content, at, end)
            form = tag & 7
            if form == 0:
                _, at = _number(content, at, end)
            elif form in _FIXED:
                at += _FIXED[form]
            elif form == 2:
                length, at = _number(content, at, end)
                if (child := inner.get(tag >> 3)) is not None and at + length <= end:
                    left.append((at, at + length, child, depth + 1))
                at += length
            else:
                raise ValueError(f"a field of wire type {form}")
            if at > end:
                raise ValueError("a field longer than its message")
    return counted


def _number(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")
