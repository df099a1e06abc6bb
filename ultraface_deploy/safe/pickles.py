"""Pickles read as a list of instructions, before anything carries them out.

The unpickler of torch runs no code from a file, but it calls what it allows with what the file
says: `bytearray(2500 << 20)` is a file of 273 bytes. What is let through here is less.
"""

from __future__ import annotations

import encodings
import pickletools
import pkgutil
import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import IO, Any, NamedTuple

from ultraface_deploy.safe.beside import Use, is_beside

# Each of these takes memory only for what the file itself holds.
_ALLOWED = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|(builtins|__builtin__) set"
    r"|_codecs encode"
    r"|torch (Size|device|bool|(b?float|complex|u?int)(8|16|32|64|128)"
    r"|(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|ComplexFloat|ComplexDouble)Storage)"
    r"|torch\._utils (_rebuild_tensor|_rebuild_tensor_v2|_rebuild_parameter)"
)
_REFUSED = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX")
# These look up what they are made of, as a dict looks up its keys.
_COLLECTIONS = re.compile(r"collections (OrderedDict|Counter)|(builtins|__builtin__) set")
_MOST_STEPS = 1_000_000
"""A checkpoint takes about thirty for each tensor; a reader takes about 2 us for each."""
_LARGEST = 1 << 60
"""Python's hash of a number is its remainder by 2^61 - 1; keys of one hash take a dict hours."""
_LONGEST_CODEC = 40
# torch looks through all the names at each call of one.
_MOST_NAMES, _MOST_CALLS = 64, 100_000


class NotPlain(Exception):  # noqa: N818 - the outcome of a look
    """A pickle calls something that neither tensors in dicts need, nor a stand-in can take."""


def require_plain(file: IO[bytes], count: int, beside: dict[str, Use]) -> None:
    """Walk the pickles that follow each other in a file.

    Args:
        file: open at the first.
        count: how many there are.
        beside: here is added what else than tensors is named, as `module name`, and how what it
            makes is used.

    Raises:
        NotPlain: names what is called there.
        ValueError: no pickle, one of too many steps, or one whose keys would take hours.
    """
    steps = 0
    called, texts = set(), set()
    for _ in range(count):
        machine = _Machine(beside)
        for opcode, argument, _ in pickletools.genops(file):
            steps += 1
            if steps > _MOST_STEPS:
                raise ValueError(f"a pickle of more than {_MOST_STEPS} steps")
            if opcode.name in _REFUSED:
                raise NotPlain(opcode.name)
            if opcode.name == "GLOBAL":
                if not _ALLOWED.fullmatch(str(argument)):
                    if not is_beside(str(argument)):
                        raise NotPlain(str(argument).replace(" ", "."))
                    machine.stand_in(str(argument))
                called.add(argument)
            elif isinstance(argument, str):
                texts.add(argument[:_LONGEST_CODEC])
            machine.step(opcode, argument)
    if "_codecs encode" in called and (codec := next(filter(_is_codec, texts), None)):
        raise NotPlain(f"_codecs.encode to {codec}")


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
    mapping: bool = False
    """It is a plain dict."""


_PLAIN = _Value()
_ODD = _Value(odd=True)
_MARK = _Value(name="mark")


class _Machine:
    """The stack of an unpickler, to see what becomes a key.

    A tuple must not, nor a long number. A tuple of two tuples of two tuples and so on is a file of
    200 bytes whose hash takes longer than anybody waits; and others can be chosen that all have one
    hash.
    """

    def __init__(self, beside: dict[str, Use]) -> None:
        self._beside = beside
        self._given = 0
        self._stack: list[_Value] = []
        self._memo: dict[Any, _Value] = {}
        self._listed = False
        """Whether any list holds something odd; which of them is not followed."""

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
        if "TUPLE" in name:
            nested = any(each.odd for each in taken)
            filled = not all(each.mapping for each in taken)
            return _Value(True, filled, nested, length=len(taken))
        if any(each.odd for each in _keys(name, taken)):
            raise ValueError("a tuple or a long number as a key")
        if name in ("APPEND", "APPENDS", "LIST"):
            self._listed |= any(each.odd for each in taken)
        if name in ("REDUCE", "NEWOBJ"):
            return self._called(*taken)
        if name in ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "BUILD"):
            self._fill(name, *taken[:2])
            return taken[0]
        if isinstance(argument, int) and abs(argument) > _LARGEST:
            return _ODD
        return _Value(name=str(argument)) if name == "GLOBAL" else _Value(mapping="DICT" in name)

    def _called(self, called: _Value, given: _Value) -> _Value:
        """Return what a call makes."""
        if called.name in self._beside:
            if given.length < 0:
                raise ValueError("a call without a tuple of arguments")
            self.stand_in(called.name, given.length)
            return _Value(maker=called.name)
        if _COLLECTIONS.fullmatch(called.name) and (
            given.nested or (given.filled and self._listed)
        ):
            raise ValueError("a tuple or a long number as a key")
        return _Value(odd=called.name == "torch Size")

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


def _keys(name: str, taken: list[_Value]) -> list[_Value]:
    """Return what becomes keys of a dict or members of a set."""
    if name in ("SETITEM", "SETITEMS"):
        return taken[1::2]
    if name == "ADDITEMS":
        return taken[1:]
    return {"DICT": taken[::2], "FROZENSET": taken}.get(name, [])


def _is_codec(text: str) -> bool:
    """Whether `_codecs.encode` takes it for another encoding than that of bytes in a pickle.

    Some take time by the square of the text's length: `punycode` an hour for a megabyte.
    """
    name = encodings.normalize_encoding(text.lower())
    return name in _codecs() and aliases.get(name, name) != "latin_1"


@lru_cache(maxsize=1)
def _codecs() -> frozenset[str]:
    return frozenset(aliases) | {module.name for module in pkgutil.iter_modules(encodings.__path__)}
