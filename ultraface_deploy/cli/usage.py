"""What is wrong with the command line itself, in one line that says what to do next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import typer

from ultraface_deploy.cli.spelling import command_of
from ultraface_deploy.errors import InputError

PROGRAM = "ultraface-deploy"

# typer brings a click of its own, whose place has changed before: found by what it is.
Refusal: type[Exception] = next(
    each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException"
)
"""What typer raises where the command line is wrong."""


def require_values(arguments: Sequence[str], whole: Callable[[], Any]) -> None:
    """Refuse empty texts, which a shell makes of a variable that is not set; "." would be read.

    Args:
        arguments: what was typed.
        whole: returns the whole command line, a click group.

    Raises:
        InputError: names the option before it, or the argument.
    """
    before = ""
    for place, word in enumerate(arguments):
        option, separator, value = word.partition("=")
        if word == "" or (separator and not value and option.startswith("--")):
            after_option = before.startswith("-") and before != "--"
            named = option or (before if after_option else _argument_at(place, arguments, whole()))
            raise InputError(f"{named}: the value is empty; give one (is a variable not set?)")
        before = word


def _argument_at(place: int, arguments: Sequence[str], whole: Any) -> str:
    """Return what the argument at a place of the line is called."""
    words, command = command_of(whole, arguments)
    typed = [word for word in arguments[:place] if word not in words]
    valued = {
        spelling
        for each in command.params
        if not getattr(each, "is_flag", True)
        for spelling in each.opts
    }
    before = [
        word
        for word, previous in zip(typed, ["", *typed], strict=False)
        if not word.startswith("-") and previous not in valued
    ]
    names = [each for each in command.params if each.param_type_name == "argument"]
    if not names:
        return "an argument"
    return _spelled(names[min(len(before), len(names) - 1)]).strip("[]")


def require_number(name: str, value: Any) -> None:
    """Refuse nan, which lies in every range.

    Raises:
        InputError: names the option.
    """
    several = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(each, float) and math.isnan(each) for each in several):
        raise InputError(f"{name} nan: is not a number; give one")


def is_bare(error: Any) -> bool:
    """Whether a command was named that does nothing by itself: its help is the answer."""
    return type(error).__name__ == "NoArgsIsHelpError"


def said(error: Any, whole: Any, arguments: Sequence[str]) -> str:
    """Return what an error shall say.

    Args:
        error: a `Refusal`.
        whole: the whole command line, a click group.
        arguments: what was typed.
    """
    words, command = command_of(whole, arguments)
    kind, message = type(error).__name__, error.format_message()
    helped = " ".join((PROGRAM, *words, "-h"))
    where = "".join(f"{word} " for word in words)
    parameter: Any = getattr(error, "param", None)
    if kind == "NoSuchOption":
        option = error.option_name
        near = get_close_matches(option, [each for p in command.params for each in p.opts], 1)
        hint = f"did you mean {near[0]}?" if near else f"{helped} lists them"
        return f"{where}{option}: no such option; {hint}"
    if message.startswith("No such command"):
        given = next(each for each in arguments[len(words) :] if not each.startswith("-"))
        near = get_close_matches(given, command.commands, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(command.commands)}"
        return f"{where}{given}: no such command; {hint}"
    if kind == "MissingParameter":
        return f"{where}needs {_named(parameter)}: {_plain(parameter.help or '')}; see {helped}"
    if kind == "BadOptionUsage":
        return f"{where}{error.option_name}: {_reason(error)}; see {helped}"
    if parameter is not None:
        values = "".join(f" {value}" for value in _given(parameter, arguments))
        return f"{where}{_spelled(parameter)}{values}: {_reason(error)}; see {helped}"
    if "unexpected extra argument" in message:
        extra = message.rpartition(" (")[2].removesuffix(")")
        return f"{where}takes no further argument, but was given {extra}; see {helped}"
    return f"{where.strip() or PROGRAM}: {_plain(message)}; see {helped}"


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(max(parameter.opts, key=len))


def _named(parameter: Any) -> str:
    """How it is written: `SOURCE`, or `-o/--output`."""
    if parameter.param_type_name == "argument":
        return _spelled(parameter)
    return "/".join(sorted(parameter.opts, key=len))


def _given(parameter: Any, arguments: Sequence[str]) -> Iterator[str]:
    """The values that follow an option on the line."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, separator, value = word.partition("=")
        if option in parameter.opts:
            yield value if separator else following


def _reason(error: Any) -> str:
    """Click's own words without the option, which stands before them."""
    reason = _plain(error.message)
    for start in (f"Option '{getattr(error, 'option_name', '')}' ", "Input "):
        reason = reason.removeprefix(start)
    return reason.partition(", unable to parse")[0]


def _plain(message: str) -> str:
    return " ".join(message.split()).rstrip(".")
