"""Objects that training scripts save beside the weights: named in a pickle, and never made.

Whatever a file calls by such a name, a stand-in is called, which keeps nothing of what it is given.
"""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Use = Literal["object", "state", "dict", "list"]
"""What a pickle does to what such a name made.

It is filled as a dict or as a list, given a state that is no dict, or none of these.
"""

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)* [A-Za-z_]\w*", re.ASCII)
# Of Python's library, where what runs programs is found too, these names alone.
_OF_PYTHON = re.compile(
    r"argparse Namespace|types SimpleNamespace|collections (defaultdict|deque)"
    r"|pathlib(\._local)? (Pure)?(Posix|Windows)?Path"
    r"|datetime (datetime|date|time|timedelta|timezone)"
    r"|uuid UUID|decimal Decimal|fractions Fraction|typing \w+"
    r"|(builtins|__builtin__) (bool|int|long|float|str|unicode|bytes|list|tuple|dict|frozenset)"
)
# torch calls some of its own by itself, whoever stands in for them.
_OF_TORCH = re.compile(r"torch\.optim(\.\w+)* \w+|torch\.torch_version TorchVersion")
# Old names of Python's library, which torch's unpickler takes for the new.
_OF_PYTHON_2 = re.compile(
    "__builtin__|copy_reg|exceptions|Queue|repr|_abcoll|UserDict|UserList|UserString|whichdb"
    "|StringIO|cStringIO|cPickle|thread|commands"
)

_NEW_NAMES = {"__builtin__ long": "builtins int", "__builtin__ unicode": "builtins str"}


def is_beside(name: str) -> bool:
    """Whether a stand-in may be called in place of what a pickle names, as `module name`.

    Names outside Python's library and torch may; of those two the harmless ones that are listed.
    """
    if not _NAME.fullmatch(name):
        return False
    root = name.partition(" ")[0].partition(".")[0]
    if root in sys.stdlib_module_names or _OF_PYTHON_2.fullmatch(root):
        return _OF_PYTHON.fullmatch(name) is not None
    return root != "torch" or _OF_TORCH.fullmatch(name) is not None


class StandIn:
    """Takes whatever a file gives, and keeps nothing."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> Any:
        """Look at no argument."""
        return object.__new__(cls)

    def __setstate__(self, _: Any) -> None:
        """Keep nothing of it."""


class _Filled(StandIn):
    """Makes a plain dict, which holds what the file puts into it."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


class _Listed(StandIn):
    """Makes a plain list."""

    def __new__(cls, *_: Any) -> Any:
        return []


_KINDS: Mapping[Use, type] = {"object": StandIn, "state": StandIn, "dict": _Filled, "list": _Listed}


def stand_ins(used: Mapping[str, Use], taken: Iterable[str]) -> list[tuple[type, str]]:
    """Return what `torch.serialization.safe_globals` takes, for names as `module name`.

    Args:
        used: the names, and how what they make is used.
        taken: names, with a dot, that a program has allowed torch to call for real.

    Raises:
        ValueError: one of the names is such a name, and torch might call either.
    """
    named = {}
    for name, use in used.items():
        new = _NEW_NAMES.get(name, name).replace("__builtin__ ", "builtins ")
        named[new.replace(" ", ".")] = _KINDS[use]
    if both := sorted(named.keys() & set(taken)):
        raise ValueError(both[0])
    return [(kind, name) for name, kind in named.items()]
