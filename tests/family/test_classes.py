"""Names of classes: which tell them apart and may stand in tables."""

from __future__ import annotations

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.classes import check_class_names, parse_class_names


def test_parsed() -> None:
    assert parse_class_names(None) == ()
    assert parse_class_names("face, no mask") == ("face", "no mask")


@pytest.mark.parametrize("names", [(), ("face", "mask"), ("Gesicht", "visage mask (n95)")])
def test_good_ones(names: tuple[str, ...]) -> None:
    check_class_names(names, 3)


@pytest.mark.parametrize(
    "names",
    [
        ("face",),
        ("a", "b", "c"),
        ("a", "a"),
        ("a", ""),
        ("a", "=1+1"),
        ("a", "b\n"),
        ("a", "b" * 61),
    ],
)
def test_bad_ones(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="`class_names`"):
        check_class_names(names, 3)
