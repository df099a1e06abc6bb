"""What the instructions of a pickle make, followed as far as it costs time or memory."""

# Tested by tests/safe/test_pickles.py.

from __future__ import annotations

import pickletools
import re
from typing import Any, NamedTuple

from ultraface_deploy.safe.beside import Use

# These look up what they are made of, as a dict looks up its keys.
_COLLECTIONS = re.compile(r"collections (OrderedDict|Counter)|(builtins|__builtin__) set")
_LARGEST = 1 << 60
"""Python's hash of a number is its remainder by 2^61 - 1; keys of one hash take a dict hours."""
# Makes a collection of another one, a file of which takes few bytes each time.
_COPYING = re.compile(rf"{_COLLECTIONS.pattern}|torch Size")
_MOST_COPIED = 1 << 23
_FILLING = ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS")
_FILLED = ("TUPLE", "LIST", "DICT", "FROZENSET")
_LATIN = ("latin1", "latin-1")
_LONGEST_CODEC = 40
# torch looks through all the names at each call of one.
_MOST_NAMES, _MOST_CALLS = 64, 100_000


class NotPlain(Exception):  # noqa: N818 - the outcome of a look
    """A pickle calls something that neither tensors in dicts need, nor a stand-in can take."""


class _Value(NamedTuple):
    """What a pickle has made, as far as it matters for keys."""

    odd: bool = False
    """It must be no key: a tuple, or a number of more than 60 bits."""
    filled: bool = False
    """It is a tuple of something else than plain dicts, whose keys have been looked at."""
    nested: bool = False
    """It is a tuple of something odd."""
    name: str = ""
    """Of what can be called."""
    maker: str = ""
    """Of the stand-in that made it."""
    length: int = -1
    """Of a tuple."""
    letters: int = -1
    """Of a text, or of the first of two texts in a tuple."""
    codec: str = ""
    """The beginning of that text, or of the second: what the first may be encoded as."""
    copied: int = 0
    """How much there is to copy where a tuple is taken as arguments, but for what is `open`."""
    open: bool = False
    """It can be filled, or holds what can."""
    mapping: bool = False
    """It is a plain dict."""
    list: int = -1
    """The number of a list, or of the only thing in a tuple if it is one."""


_PLAIN = _Value()
_ODD = _Value(odd=True)
_MARK = _Value(name="mark")
_MADE = {
    **dict.fromkeys(("EMPTY_SET", "LIST", "FROZENSET"), _Value(open=True)),
    **dict.fromkeys(("EMPTY_DICT", "DICT"), _Value(open=True, mapping=True)),
}


class Machine:
    """The stack of an unpickler, to see what becomes a key.

    A tuple must not, nor a long number. A tuple of two tuples of two tuples and so on is a file of
    200 bytes whose hash takes longer than anybody waits; and others can be chosen that all have one
    hash.
    """

    def __init__(self, beside: dict[str, Use]) -> None:
        self._beside = beside
        self._given = 0
        self._written = self._encoded = 0
        """Letters of texts in the file, and of those that are encoded."""
        self._members = self._copied = 0
        """What all collections are filled with, and how much of it has been copied at most."""
        self._stack: list[_Value] = []
        self._memo: dict[Any, _Value] = {}
        self._lists = 0
        self._odd_lists: set[int] = set()
        """Those that hold something odd; -1 is any whose number nobody knows."""
        self._deep = False
        """Whether any list holds another one; which is not followed."""

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Carry out an instruction.

        Raises:
            ValueError: something odd becomes a key, or the stack is empty.
        """
        stack, name = self._stack, opcode.name
        if name == "MARK":
            stack.append(_MARK)
        elif name == "DUP":
            stack.append(self._top())
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo.get(argument, _PLAIN))
        else:
            taken = self._take(opcode)
            made = self._made(name, argument, taken)
            if opcode.stack_after:
                stack.append(made)

    def stand_in(self, name: str, given: int = 0) -> None:
        """Note that what a name stands for is looked up or called, with so many arguments.

        Raises:
            ValueError: more of them than any training script saves.
        """
        self._beside.setdefault(name, "object")
        # A file that names one long tuple again and again is short.
        self._given += 1 + given
        if len(self._beside) > _MOST_NAMES or self._given > _MOST_CALLS:
            raise ValueError("too many objects beside the weights")

    def _top(self) -> _Value:
        if not self._stack:
            raise ValueError("a pickle of nothing")
        return self._stack[-1]

    def _take(self, opcode: pickletools.OpcodeInfo) -> list[_Value]:
        """Take off the stack what an instruction reads, in the order in which it was put there."""
        before, stack = opcode.stack_before, self._stack
        count, items = len(before), []
        if pickletools.markobject in before:
            count = before.index(pickletools.markobject)
            while stack and stack[-1] is not _MARK:
                items.append(stack.pop())
            if not stack:
                raise ValueError("a pickle whose list has no beginning")
            stack.pop()
        if count > len(stack):
            raise ValueError("a pickle of nothing")
        first = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return first + items[::-1]

    def _made(self, name: str, argument: Any, taken: list[_Value]) -> _Value:
        """Return what an instruction makes of what it took."""
        if name in _FILLING or name in _FILLED:
            self._members += len(taken)
        if "TUPLE" in name:
            return _tuple(taken)
        if any(each.odd for each in _keys(name, taken)):
            raise ValueError("a tuple or a long number as a key")
        if name in ("APPEND", "APPENDS", "LIST"):
            self._list(taken)
        if name in ("REDUCE", "NEWOBJ"):
            return self._called(*taken)
        if name in ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD"):
            self._fill(name, *taken[:2])
            return taken[0]
        return self._new(name, argument)

    def _new(self, name: str, argument: Any) -> _Value:
        """Return what an instruction makes of what it says itself."""
        if isinstance(argument, int) and abs(argument) > _LARGEST:
            return _ODD
        if name == "GLOBAL":
            return _Value(name=str(argument))
        if isinstance(argument, str):
            self._written += len(argument)
            return _Value(letters=len(argument), codec=argument[:_LONGEST_CODEC])
        if name == "EMPTY_LIST":
            self._lists += 1
            return _Value(open=True, list=self._lists)
        return _MADE.get(name, _PLAIN)

    def _called(self, called: _Value, given: _Value) -> _Value:
        """Return what a call makes."""
        if called.name in self._beside:
            if given.length < 0:
                raise ValueError("a call without a tuple of arguments")
            self.stand_in(called.name, given.length)
            return _Value(maker=called.name, open=True)
        if called.name == "_codecs encode":
            self._encode(given)
        if _COPYING.fullmatch(called.name):
            most = self._members + self._encoded if given.open else 0
            self._copied += given.copied + most
            if self._copied > _MOST_COPIED:
                raise ValueError("collections that are made of one another again and again")
        if _COLLECTIONS.fullmatch(called.name) and (
            given.nested or (given.filled and self._may_be_odd(given.list))
        ):
            raise ValueError("a tuple or a long number as a key")
        if called.name == "torch Size":
            return _Value(True, length=given.copied, open=given.open)
        return _Value(open=True)

    def _list(self, taken: list[_Value]) -> None:
        """Note what is put into a list, the first of what was taken."""
        if any(each.odd for each in taken):
            self._odd_lists.add(taken[0].list)
        self._deep |= any(each.list >= 0 or each.maker for each in taken[1:])

    def _may_be_odd(self, number: int) -> bool:
        """Whether a list may hold something odd."""
        if self._deep or number < 0 or -1 in self._odd_lists:
            return bool(self._odd_lists)
        return number in self._odd_lists

    def _encode(self, given: _Value) -> None:
        """Note that a text is encoded, as pickles of protocol 2 write bytes.

        Raises:
            NotPlain: in another way than that. `punycode` takes an hour for a megabyte.
            ValueError: one text again and again; a pickle writes each where it is used.
        """
        if given.length != 2 or given.codec not in _LATIN:
            raise NotPlain(f"_codecs.encode to {given.codec or 'something'}")
        self._encoded += max(0, given.letters)
        if self._encoded > self._written:
            raise ValueError("a text that is encoded again and again")

    def _fill(self, name: str, filled: _Value, given: _Value = _PLAIN) -> None:
        """Note what is done to what a stand-in made.

        Raises:
            ValueError: one that can be done neither to it nor to a dict of torch's.
        """
        maker = filled.maker
        if name == "BUILD":
            # Attributes are looked up by their names: a list of pairs would make keys of any kind.
            if not (maker or given.mapping):
                raise ValueError("attributes that are not in a dict")
            if maker:
                self.stand_in(maker)
            use: Use = "object" if given.mapping else "state"
        else:
            use = "dict" if "SETITEM" in name else "list"
        if maker and use != "object":
            if self._beside[maker] not in ("object", use):
                raise ValueError(f"{maker} that is filled in two ways")
            self._beside[maker] = use


def _tuple(taken: list[_Value]) -> _Value:
    nested = any(each.odd for each in taken)
    filled = not all(each.mapping for each in taken)
    return _Value(
        *(True, filled, nested),
        length=len(taken),
        letters=taken[0].letters if len(taken) == 2 else -1,
        codec=taken[1].codec if len(taken) == 2 else "",
        copied=sum(max(0, each.length, each.letters) for each in taken),
        open=any(each.open for each in taken),
        list=taken[0].list if len(taken) == 1 else -1,
    )


def _keys(name: str, taken: list[_Value]) -> list[_Value]:
    """Return what becomes keys of a dict or members of a set."""
    if name in ("SETITEM", "SETITEMS"):
        return taken[1::2]
    if name == "ADDITEMS":
        return taken[1:]
    return {"DICT": taken[::2], "FROZENSET": taken}.get(name, [])
