"""Pickles read as a list of instructions, before anything carries them out.

The unpickler of torch runs no code from a file, but it calls what it allows with what the file
says: `bytearray(2500 << 20)` is a file of 273 bytes. What is let through here is less.
"""

from __future__ import annotations

import pickletools
import re
from typing import IO

from ultraface_deploy.safe.beside import Use, is_beside
from ultraface_deploy.safe.stack import Machine, NotPlain

__all__ = ["MOST_STEPS", "NotPlain", "require_plain"]

# Each of these takes memory only for what the file itself holds.
_ALLOWED = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|(builtins|__builtin__) set"
    r"|_codecs encode"
    r"|torch (Size|device|bool|(b?float|complex|u?int)(8|16|32|64|128)"
    r"|(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|ComplexFloat|ComplexDouble)Storage)"
    r"|torch\._utils (_rebuild_tensor|_rebuild_tensor_v2|_rebuild_parameter)"
)
_REFUSED = ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "BYTEARRAY8")
MOST_STEPS = 1_000_000
"""A checkpoint takes about thirty for each tensor; a reader takes about 2 us for each."""


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
    for _ in range(count):
        machine = Machine(beside)
        for opcode, argument, _ in pickletools.genops(file):
            steps += 1
            if steps > MOST_STEPS:
                raise ValueError(f"a pickle of more than {MOST_STEPS} steps")
            if opcode.name in _REFUSED:
                raise NotPlain(opcode.name)
            if opcode.name == "GLOBAL" and not _ALLOWED.fullmatch(str(argument)):
                if not is_beside(str(argument)):
                    raise NotPlain(str(argument).replace(" ", "."))
                machine.stand_in(str(argument))
            machine.step(opcode, argument)
