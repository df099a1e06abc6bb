"""How the command line spells what the library calls by the names of parameters.

The library serves Python too, so its messages say `input_size`, in backquotes; who typed a command
reads --input-size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)`")
# `bench` alone is short for `bench run`.
_BY_DEFAULT = "run"


def command_of(whole: Any, arguments: Sequence[str]) -> tuple[tuple[str, ...], Any]:
    """Return the words that name the command of a line, and the command.

    Args:
        whole: the whole command line, a click group.
        arguments: what was typed.
    """
    words: tuple[str, ...] = ()
    for argument in arguments:
        commands = getattr(whole, "commands", {})
        if argument not in commands:
            break
        words, whole = (*words, argument), commands[argument]
    if words and _BY_DEFAULT in getattr(whole, "commands", {}):
        words, whole = (*words, _BY_DEFAULT), whole.commands[_BY_DEFAULT]
    return words, whole


def options_of(whole: Any, arguments: Sequence[str]) -> dict[str, str]:
    """Return the option of each parameter's name; the command that was typed comes first."""
    found: dict[str, str] = {}
    for command in (*_commands(whole), command_of(whole, arguments)[1]):
        options = [each for each in command.params if each.param_type_name == "option"]
        found |= {each.name: max(each.opts, key=len) for each in options}
        for spelling in (spelling for each in options for spelling in each.opts):
            found[spelling.lstrip("-").replace("-", "_")] = spelling
    return found


def spelled(message: str, options: Mapping[str, str]) -> str:
    """Return a message with the options in the place of the parameters' names."""
    return _PARAMETER.sub(lambda match: options.get(match[1], match[0]), message)


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from _commands(child)
