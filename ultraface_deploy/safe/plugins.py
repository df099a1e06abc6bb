"""Records that other installed packages bring, found through entry points.

A package that is broken, or does not fit this version, must not take the commands that do without
it along: it is named in a warning, and refused where it is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from ultraface_deploy.errors import InputError, MissingDependency, UltraFaceError
from ultraface_deploy.safe.text import printable, reason


class Named(Protocol):
    """A record that carries the name of its entry point."""

    @property
    def name(self) -> str:
        """What stands on the command line and in manifests."""


Record = TypeVar("Record", bound=Named)
_log = logging.getLogger(__name__)


def usable(group: str, kind: type[Any], built_in: Collection[str]) -> tuple[str, ...]:
    """Return the names of the plug-ins of a group that load; warn once of each other one."""
    found = _examined(group, kind, built_in)
    for trouble in filter(None, found.values()):
        _warn(trouble)
    return tuple(name for name, trouble in found.items() if trouble is None)


def refused(group: str, kind: type[Any], built_in: Collection[str]) -> list[str]:
    """Return a line for each plug-in of a group that cannot be used."""
    return [trouble for trouble in _examined(group, kind, built_in).values() if trouble]


def plugin(group: str, kind: type[Record], name: str) -> Record | None:
    """Return the record of a plug-in, None where there is none of that name.

    Raises:
        MissingDependency: a package that it imports is not installed.
        InputError: it fails otherwise, or is not such a record.
    """
    entry = next(iter(entry_points(group=group, name=name)), None)
    return None if entry is None else _load(entry, kind)


def _examined(group: str, kind: type[Any], built_in: Collection[str]) -> Mapping[str, str | None]:
    """Return why each plug-in of a group cannot be used, None for those that can."""
    found: dict[str, str | None] = {}
    for entry in entry_points(group=group):
        if entry.name in built_in:
            found[entry.name] = _about(entry, kind, "a built-in one has its name")
            continue
        try:
            _load(entry, kind)
        except UltraFaceError as error:
            found[entry.name] = str(error)
        else:
            found.setdefault(entry.name, None)
    return found


def _load(entry: EntryPoint, kind: type[Record]) -> Record:
    try:
        record = entry.load()
    except ImportError as error:
        raise MissingDependency(_about(entry, kind, reason(error))) from error
    except Exception as error:  # whatever a stranger's module raises
        raise InputError(_about(entry, kind, reason(error))) from error
    if not isinstance(record, kind):
        raise InputError(_about(entry, kind, f"{entry.value} is not a {kind.__name__}"))
    if record.name != entry.name:
        raise InputError(_about(entry, kind, f"its record is called {record.name!r}"))
    return record


def _about(entry: EntryPoint, kind: type[Any], why: str) -> str:
    package = "its package" if entry.dist is None else entry.dist.name
    return printable(
        f"{kind.__name__.lower()} {entry.name}, a plug-in of {package}, cannot be used: {why}; "
        f"update or uninstall {package}"
    )


@cache
def _warn(message: str) -> None:
    _log.warning("%s", message)
