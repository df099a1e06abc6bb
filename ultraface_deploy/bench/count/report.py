"""Counts kept in a file, and two of them compared: exact, whatever machine emulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ultraface_deploy.bench.count.instructions import Count
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import read_text, require_file
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import SCHEMA, Version, decode, read

# The same files and packages give the same count to 0.01 %; ten times that is a change.
RESOLUTION = 0.001


@dataclass(frozen=True)
class CountReport:
    """What was counted on one kind of core; `packages` are the aarch64 wheels that ran."""

    core: str
    packages: dict[str, str]
    results: tuple[Count, ...]
    schema: Version = SCHEMA

    @classmethod
    def load(cls, path: Path) -> CountReport | None:
        """Read a file that `bench count --json` wrote; None where it is something else.

        Raises:
            InputError: the file cannot be read, or is a damaged result.
        """
        require_file(path, "JSON result of bench", Limit.TEXT)
        try:
            if decode(read_text(path), _Either).core is None:
                return None
        except InputError as error:
            said = damaged(path, "JSON result of bench", error, "run bench again")
            raise InputError(f"{path}: {said}") from error
        return read(path, cls, "JSON result of bench count", "count again")


@dataclass(frozen=True)
class _Either:
    """A result of either kind: times have no core."""

    core: Any = None


@dataclass(frozen=True)
class CountDifference:
    """Instructions of one configuration in both results; `ratio` is after / before."""

    configuration: str
    before: int
    after: int
    ratio: float
    verdict: str


def compare_counts(
    before: CountReport, after: CountReport, ignore: frozenset[str] = frozenset()
) -> list[CountDifference]:
    """Compare every configuration that both results hold.

    Args:
        before: the earlier result.
        after: the later result.
        ignore: of `machine`, `artifact`: what may differ although it makes them different
            experiments. Other packages are what one wants to compare and need no leave.

    Raises:
        InputError: they cannot be compared; says what differs.
    """
    if "machine" not in ignore and before.core != after.core:
        raise InputError(
            f"the two results come from different cores ({before.core} and {after.core}); "
            "compare them anyway with `ignore` machine"
        )
    earlier = {_key(count): count for count in before.results}
    found = []
    for new in after.results:
        old = earlier.get(_key(new))
        if old is None or not (old.instructions and new.instructions):
            continue
        if "artifact" not in ignore and old.sha256 != new.sha256:
            raise InputError(
                f"{_title(new)}: the two results ran different files; "
                "compare them anyway with `ignore` artifact"
            )
        ratio = new.instructions / old.instructions
        found.append(
            CountDifference(
                _title(new), old.instructions, new.instructions, round(ratio, 5), _verdict(ratio)
            )
        )
    if not found:
        raise InputError("the two results have no configuration in common; count the same files")
    return found


def lost_counts(before: CountReport, after: CountReport) -> list[str]:
    """Return what was counted earlier and was not later, with why if the later result says it."""
    later = {_key(count): count for count in after.results}
    lost = []
    for old in before.results:
        new = later.get(_key(old))
        if old.instructions and (new is None or not new.instructions):
            reason = f": {new.reason}" if new else ""
            lost.append(_title(old) + reason)
    return lost


def _verdict(ratio: float) -> str:
    if abs(ratio - 1) <= RESOLUTION:
        return "the same"
    return "more" if ratio > 1 else "fewer"


def _key(count: Count) -> tuple[str, ...]:
    return count.model, count.artifact, count.backend


def _title(count: Count) -> str:
    return f"{count.model}, {count.backend} {count.precision}, {count.core}"
