"""Which of a data set's classes are faces."""

# Tested by tests/train/data/test_labels.py.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import MAX_CLASSES

_FACE = "face"
_SHOWN = 12


@dataclass(frozen=True)
class Classes:
    """The wanted classes: label (1, 2, ...) by name. Without any, the set decides.

    Names are compared stripped and without case. Where the user chose none, `face` is used, or
    the set's only class.
    """

    wanted: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str] | None) -> Classes:
        """Read `--class` options: `NAME`, or `NAME=1,OTHER=2` for several labels.

        Names without a number share label 1.

        Raises:
            InputError: a name is empty or twice there, or the labels are not 1, 2, ...
        """
        wanted: dict[str, int] = {}
        for part in (part for text in texts or () for part in text.split(",")):
            name, _, number = part.rpartition("=") if "=" in part else (part, "", "1")
            key = _plain(name)
            if not key or not (number.strip().isdecimal() and len(number.strip()) < 4):
                raise InputError(f"`class` {part!r}: give NAME, or NAME=1,OTHER=2 for several")
            if key in wanted:
                raise InputError(f"`class` {part!r}: names a class twice; name each once")
            wanted[key] = int(number)
        labels = set(wanted.values())
        if wanted and labels != set(range(1, len(labels) + 1)):
            raise InputError(
                f"`class`: the labels {', '.join(map(str, sorted(labels)))} must count from 1 "
                "without a gap; 0 is the background"
            )
        return cls._checked(wanted)

    @classmethod
    def in_order(cls, text: str) -> Classes:
        """Read `--classes face,mask`: the first name has label 1, the next 2.

        Raises:
            InputError: a name is empty or twice there.
        """
        names = [_plain(name) for name in text.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise InputError(f"`classes` {text!r}: give different names, such as face,mask")
        return cls._checked({name: label for label, name in enumerate(names, 1)})

    @classmethod
    def _checked(cls, wanted: dict[str, int]) -> Classes:
        if wanted and max(wanted.values()) >= MAX_CLASSES:
            raise InputError(f"more than {MAX_CLASSES - 1} classes are not supported; choose fewer")
        return cls(wanted)

    @property
    def names(self) -> tuple[str, ...]:
        """The first name of each label, in order; none where the user chose none."""
        first = {label: name for name, label in reversed(list(self.wanted.items()))}
        return tuple(first[label] for label in sorted(first))

    @property
    def count(self) -> int:
        """How many classes a network for them has, the background included."""
        return 1 + max(self.wanted.values(), default=1)

    def choose(self, names: Sequence[str | None]) -> tuple[list[int], list[str]]:
        """Return the label of every box, 0 for one that is left out, and remarks, a line each.

        Args:
            names: the class of every box; None in forms that know faces alone.

        Raises:
            InputError: no face is left.
        """
        if not names:
            raise InputError("the labels have no face at all")
        if all(name is None for name in names):
            # A form that knows faces alone: a choice among classes says nothing about it.
            return [1] * len(names), []
        plain = [_plain(_FACE if name is None else name) for name in names]
        found = Counter(plain)
        remarks: list[str] = []
        wanted = dict(self.wanted)
        if not wanted:
            wanted = {_FACE: 1}
            if _FACE not in found and len(found) == 1:
                (only,) = found
                wanted = {only: 1}
                remarks.append(
                    f"the only class is {only!r}: its objects are taken for faces ({len(plain)})"
                )
        labels = [wanted.get(name, 0) for name in plain]
        if not any(labels):
            raise InputError(
                f"no object is named {' or '.join(map(repr, wanted))}; the labels have "
                f"{_listed(found.items())}; choose with `class` NAME"
            )
        if absent := [name for name in wanted if name not in found]:
            remarks.append(f"no object is named {' or '.join(map(repr, absent))}")
        if others := [(name, count) for name, count in found.items() if name not in wanted]:
            remarks.append(f"left out, objects of other classes: {_listed(others)}")
        return labels, remarks


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    ordered = sorted(counts, key=lambda pair: -pair[1])
    shown = ", ".join(f"{count} {name!r}" for name, count in ordered[:_SHOWN])
    return shown + (f" and {len(ordered) - _SHOWN} more names" if len(ordered) > _SHOWN else "")
