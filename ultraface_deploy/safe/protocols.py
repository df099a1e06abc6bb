"""Newer pickles rewritten as those of protocol 2, which alone torch's reader without code takes.

`torch.save(..., pickle_protocol=4)` says the same things in other words. Nothing is carried out:
instruction by instruction is put into the older words, and what comes out is then looked at like
any other pickle. Words: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

# Tested by tests/safe/test_pickles.py.

from __future__ import annotations

import pickletools
import re
import struct
from typing import IO, Any

_PROTOCOL_2 = b"\x80\x02"
_NEWER = range(3, 6)
# A name goes into a line of its own.
_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
_PUTS, _GETS = ("BINPUT", "LONG_BINPUT", "MEMOIZE"), ("BINGET", "LONG_BINGET")
_SET, _FROZENSET = b"c__builtin__\nset\n](", b"c__builtin__\nfrozenset\n]("
_FILLED = b"e\x85R"
_LATIN = "latin1"


def is_newer(pickle: bytes) -> bool:
    """Whether a pickle begins as one of a protocol that torch's reader does not take."""
    return pickle[:1] == _PROTOCOL_2[:1] and pickle[1:2] != b"" and pickle[1] in _NEWER


def as_protocol_2(file: IO[bytes], most_steps: int) -> bytes:
    """Return the pickle at which a file stands in the words of protocol 2.

    Raises:
        ValueError: no pickle, one of too many steps, or one that no pickler writes.
    """
    rewriting = _Rewriting()
    begin = file.tell()
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if steps >= most_steps:
            raise ValueError(f"a pickle of more than {most_steps} steps")
        end = file.tell()
        file.seek(begin)
        rewriting.add(opcode, argument, file.read(end - begin))
        begin = end
    return b"".join(rewriting.pieces)


class _Rewriting:
    """The instructions so far, a piece each.

    A pickler writes a class as two texts and an instruction that takes them; the older word holds
    them itself. So those texts are taken back, and given when something else asks for them.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._texts: dict[int, str] = {}
        """By the number of the piece that gives it."""
        self._kept: dict[int, int] = {}
        """The number under which a piece keeps what the one before it gave."""
        self._memo: dict[int, str] = {}
        """Texts that are kept."""
        self._taken_back: set[int] = set()
        """Numbers of texts that nothing gives any more."""
        self._numbers: set[int] = set()
        self._marks: list[int] = []

    def add(self, opcode: pickletools.OpcodeInfo, argument: Any, written: bytes) -> None:
        """Add an instruction as it was written.

        Raises:
            ValueError: it is one that no pickler writes there.
        """
        name = opcode.name
        if name == "MARK":
            self._marks.append(len(self.pieces))
        elif pickletools.markobject in opcode.stack_before:
            if not self._marks:
                raise ValueError("a pickle whose list has no beginning")
            begin = self._marks.pop()
            if name in ("ADDITEMS", "FROZENSET"):
                self._collect(name, begin)
                return
        if name != "FRAME":
            self.pieces.append(self._older(name, argument, written))

    def _older(self, name: str, argument: Any, written: bytes) -> bytes:
        if name == "PROTO":
            return _PROTOCOL_2
        if name in _TEXTS:
            self._texts[len(self.pieces)] = argument
            return _text(argument)
        if name in _BYTES:
            given = _text(argument.decode(_LATIN)) + _text(_LATIN)
            return b"c_codecs\nencode\n" + given + b"\x86R"
        if name in _PUTS:
            return self._keep(len(self._numbers) if name == "MEMOIZE" else argument)
        if name in _GETS and argument in self._memo:
            return self._again(argument)
        return self._global() if name == "STACK_GLOBAL" else written

    def _global(self) -> bytes:
        name, module = self._take_back(), self._take_back()
        if not (_NAME.fullmatch(module) and _NAME.fullmatch(name)):
            raise ValueError(f"a name of {module[:40]!r} and {name[:40]!r}")
        return f"c{module}\n{name}\n".encode()

    def _keep(self, number: int) -> bytes:
        self._numbers.add(number)
        self._taken_back.discard(number)
        self._memo.pop(number, None)
        self._kept[len(self.pieces)] = number
        if (text := self._texts.get(len(self.pieces) - 1)) is not None:
            self._memo[number] = text
        return b"r" + struct.pack("<I", number)

    def _again(self, number: int) -> bytes:
        """Return what gives a text that is kept; one that was taken back is now given first."""
        self._texts[len(self.pieces)] = self._memo[number]
        if number in self._taken_back:
            self._taken_back.remove(number)
            self._kept[len(self.pieces)] = number
            return _text(self._memo[number]) + b"r" + struct.pack("<I", number)
        return b"j" + struct.pack("<I", number)

    def _take_back(self) -> str:
        """Remove the last piece, which gives a text, and return the text."""
        last = len(self.pieces) - 1
        number = self._kept.pop(last, None)
        if number is not None and last not in self._texts:
            self.pieces.pop()
            last -= 1
        if (text := self._texts.pop(last, None)) is None:
            raise ValueError("a name that is no text")
        self.pieces.pop()
        if number is not None:
            self._taken_back.add(number)
        return text

    def _collect(self, name: str, begin: int) -> None:
        """Make a set of what was added since a piece; the older words make it of a list."""
        kept = b""
        if name == "FROZENSET":
            self.pieces[begin] = _FROZENSET
        else:
            empty = begin - 1
            if empty in self._kept:
                kept, self.pieces[empty] = self.pieces[empty], b""
                empty -= 1
            if empty < 0 or self.pieces[empty] != b"\x8f":
                raise ValueError("a set that is filled twice")
            self.pieces[empty], self.pieces[begin] = b"", _SET
        self.pieces.append(_FILLED + kept)


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content
