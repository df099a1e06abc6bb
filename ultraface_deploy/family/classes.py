"""Names of the classes that a network tells apart."""

from __future__ import annotations

import re

from ultraface_deploy.errors import InputError

# Names stand in CSV cells, which a spreadsheet runs where they begin with one of = + - @.
_CLASS = re.compile(r"\w[\w.+ ()/'&-]{0,59}")


def check_class_names(names: tuple[str, ...], num_classes: int) -> None:
    """Refuse names that do not tell the classes apart; no names at all are well.

    Raises:
        InputError: there are more or fewer than classes, or one is empty, odd or there twice.
    """
    if not names:
        return
    if len(names) != num_classes - 1:
        raise InputError(
            f"`class_names` {','.join(names)!r}: {len(names)} for {num_classes - 1} besides the "
            "background; give one for each, in the order of the labels"
        )
    if not all(map(_CLASS.fullmatch, names)) or len(set(names)) < len(names):
        raise InputError(
            f"`class_names` {','.join(names)[:80]!r}: give different names, such as face,mask"
        )


def parse_class_names(text: str | None) -> tuple[str, ...]:
    """Read `face,mask`; none without a text."""
    return () if text is None else tuple(name.strip() for name in text.split(","))
