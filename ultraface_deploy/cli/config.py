"""`ultraface.toml`: one's own defaults, beside the project.

[detect]
model = "out/mine"
backend = ["ncnn"]

[bench]
threads = "1-4"
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.limits import require_short

NAME = "ultraface.toml"
# They use the network, and a folder can come from elsewhere with such a file in it.
_TYPED = ("host", "listen", "setup", "fetch_runtime")


def defaults(command: Any, path: Path = Path(NAME)) -> dict[str, Any]:
    """Return the defaults that a file gives, in the form that click takes them; {} without one.

    Args:
        command: the whole command line, a click group.
        path: the file.

    Raises:
        InputError: it is damaged, or names a command or an option that is not there.
    """
    if not path.is_file():
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    require_short(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); mend or remove it") from error
    return _of(command, given, path, ())


def _of(command: Any, given: dict[str, Any], path: Path, words: tuple[str, ...]) -> dict[str, Any]:
    """Sort a table into the options of a command and the tables of its subcommands."""
    commands = getattr(command, "commands", {})
    options = {
        spelling.lstrip("-").replace("-", "_"): parameter
        for parameter in command.params
        for spelling in (*parameter.opts, parameter.name)
    }
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key in commands and isinstance(value, dict):
            found[key] = _of(commands[key], value, path, (*words, key))
            continue
        # `bench` alone is short for `bench run`.
        if "run" in commands and not isinstance(value, dict):
            found["run"] = found.get("run", {}) | _of(commands["run"], {key: value}, path, words)
            continue
        parameter = options.get(key.replace("-", "_"))
        if parameter is None or not words or isinstance(value, dict):
            known = ", ".join(sorted(commands) or sorted({p.name for p in command.params}))
            where = f"[{' '.join(words)}] {key}" if words else f"[{key}]"
            raise InputError(f"{path}: {where} is unknown; choose from {known}")
        if parameter.name in _TYPED:
            raise InputError(f"{path}: {key} uses the network and must be typed; remove it")
        found[parameter.name] = value
    return found
