"""FlatBuffers read without their compiler: what a file says of itself is checked against its size.

Layout: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_LARGEST_LIST = 100_000


@dataclass(frozen=True)
class Table:
    """A table at a place of a buffer. Fields are counted from 0, as the schema lists them."""

    content: bytes
    place: int

    @classmethod
    def root(cls, content: bytes) -> Table:
        """Return the table that a buffer begins with.

        Raises:
            ValueError: it is no such buffer.
        """
        return cls(content, _offset(content, 0))

    def number(self, field: int, form: str = "i", default: int = 0) -> int:
        """Return an integer; `form` is that of `struct`."""
        at = self._at(field)
        return default if at is None else int(_unpack(self.content, at, form))

    def text(self, field: int) -> str:
        """Return a string, empty where there is none.

        Raises:
            ValueError: it is not in UTF-8, or lies outside.
        """
        at = self._at(field)
        if at is None:
            return ""
        start, count = _vector(self.content, at, 1)
        return self.content[start : start + count].decode()

    def table(self, field: int) -> Table:
        """Return a table in this one.

        Raises:
            ValueError: there is none.
        """
        if (found := self.part(field)) is None:
            raise ValueError("a part is missing")
        return found

    def part(self, field: int) -> Table | None:
        """Return a table in this one, None where there is none."""
        at = self._at(field)
        return None if at is None else Table(self.content, _offset(self.content, at))

    def tables(self, field: int) -> list[Table]:
        """Return the tables of a vector."""
        return [Table(self.content, _offset(self.content, at)) for at in self._entries(field)]

    def texts(self, field: int) -> list[str]:
        """Return the strings of a vector."""
        found = []
        for at in self._entries(field):
            start, count = _vector(self.content, at, 1)
            found.append(self.content[start : start + count].decode())
        return found

    def array(self, field: int, dtype: npt.DTypeLike, width: int | None = None) -> npt.NDArray[Any]:
        """Return the numbers of a vector, whose elements are `width` bytes, else one number."""
        wanted, at = np.dtype(dtype), self._at(field)
        if at is None:
            return np.empty(0, wanted)
        size = width or wanted.itemsize
        start, count = _vector(self.content, at, size)
        return np.frombuffer(self.content, wanted, count * size // wanted.itemsize, start)

    def _entries(self, field: int) -> range:
        """Where the offsets of a vector stand."""
        at = self._at(field)
        if at is None:
            return range(0)
        start, count = _vector(self.content, at, 4)
        if count > _LARGEST_LIST:
            raise ValueError(f"a list of {count} parts")
        return range(start, start + 4 * count, 4)

    def _at(self, field: int) -> int | None:
        """Where a field stands; None where the table does not have it."""
        fields = self.place - int(_unpack(self.content, self.place, "i"))
        size = int(_unpack(self.content, fields, "H"))
        slot = 4 + 2 * field
        if slot + 2 > size:
            return None
        offset = int(_unpack(self.content, fields + slot, "H"))
        return self.place + offset if offset else None


def _offset(content: bytes, at: int) -> int:
    return at + int(_unpack(content, at, "I"))


def _vector(content: bytes, at: int, width: int) -> tuple[int, int]:
    """Where the elements of a vector begin, and how many they are."""
    place = _offset(content, at)
    count = int(_unpack(content, place, "I"))
    if place + 4 + count * width > len(content):
        raise ValueError("a part is longer than the file")
    return place + 4, count


def _unpack(content: bytes, at: int, form: str) -> Any:
    # A negative place would count from the end.
    if at < 0 or at + struct.calcsize(form) > len(content):
        raise ValueError("a part lies outside of the file")
    return struct.unpack_from(f"<{form}", content, at)[0]
