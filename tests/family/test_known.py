"""What a user says of a network whose file does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.known import NOTHING, parse_known
from ultraface_deploy.family.spec import ModelSpec

SPEC = ModelSpec("net", "slim")


def test_one_number_stands_for_all_channels() -> None:
    known = parse_known("104", "58,58,58", None)
    assert known.says_input
    expected = replace(SPEC, mean=(104.0,) * 3, std=(58.0,) * 3)
    assert known.of(SPEC) == expected and expected.color == SPEC.color


def test_nothing_changes_nothing() -> None:
    assert parse_known(None, None, None) == NOTHING
    assert NOTHING.of(SPEC) == SPEC and not NOTHING.says_input
    assert not parse_known(None, None, None, ignore_outputs=True).says_input


@pytest.mark.parametrize(
    ("mean", "std", "color"),
    [
        ("1,2", None, None),
        ("a", None, None),
        (None, "0", None),
        (None, "1,2,3", None),
        (None, "-1", None),
        (None, None, "hsv"),
        ("nan", None, None),
        ("", None, None),
    ],
)
def test_normalisations_that_make_no_sense(
    mean: str | None, std: str | None, color: str | None
) -> None:
    with pytest.raises(InputError):
        parse_known(mean, std, color)
