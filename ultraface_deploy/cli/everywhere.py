"""Options that work anywhere on the line, also after the command: people add them at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ultraface_deploy.errors import InputError

_FLAGS = {
    "--debug": "debug",
    "-v": "verbose",
    "--verbose": "verbose",
    "-q": "quiet",
    "--quiet": "quiet",
}


@dataclass
class Everywhere:
    """What was asked for, and the rest of the line.

    Attributes:
        debug: show a traceback where an error is reported.
        verbose: show what runtimes and tools print by themselves.
        quiet: no notes and no progress, only results and errors.
        log_file: a file that gets every note, result line and error too.
        rest: the arguments that are left.
    """

    debug: bool = False
    verbose: bool = False
    quiet: bool = False
    log_file: str | None = None
    rest: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Everywhere:
        """Take these options off a command line; what follows `--` is left alone.

        Raises:
            InputError: `--log-file` without a name.
        """
        found = cls()
        words = iter(arguments)
        for word in words:
            if word == "--":
                found.rest += [word, *words]
            elif word in _FLAGS:
                setattr(found, _FLAGS[word], True)
            elif word == "--log-file" or word.startswith("--log-file="):
                found.log_file = _value(word, words)
            else:
                found.rest.append(word)
        return found


def _value(word: str, words: Iterator[str]) -> str:
    _, separator, value = word.partition("=")
    value = value if separator else next(words, "")
    if not value:
        raise InputError("--log-file: give a file name")
    return value
