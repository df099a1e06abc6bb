"""Records: what is read is what the annotations say, or one line that names file and field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.records import (
    Amount,
    Natural,
    Strict,
    Version,
    convert,
    decode,
    encode,
    plain,
    read,
)


@dataclass(frozen=True)
class Inner(Strict):
    share: Amount = 0.5

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError("more than all")


@dataclass(frozen=True)
class Outer:
    count: Natural
    parts: tuple[Inner, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    schema: Version = 1


GOOD = Outer(3, (Inner(), Inner(1.0)), {"a": [1, None]})


def test_comes_back_as_it_was() -> None:
    assert decode(encode(GOOD), Outer) == convert(plain(GOOD), Outer) == GOOD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"count": "3"}', "count: expected int, got str"),
        ('{"count": true}', "count: expected int, got bool"),
        ('{"count": -1}', "count: expected int >= 0"),
        ('{"count": 1, "parts": [{"share": -1}]}', r"parts\[0\].share: expected float >= 0.0"),
        ('{"count": 1, "parts": [{"share": 2}]}', r"parts\[0\]: more than all"),
        ('{"count": 1, "parts": [{}, {"shar": 1}]}', r"parts\[1\]: unknown field 'shar'"),
        ('{"count": 1, "parts": [{"share": NaN}]}', r"parts\[0\].share: NaN and Infinity are not"),
        ('{"count": 1, "facts": {"a": -Infinity}}', "facts.a: NaN and Infinity are not"),
        ('{"count": 1, "facts": {"a": 1e999}}', "facts.a: "),
        ('{"count": 1, "facts": true}', "facts: expected object, got bool"),
        ('{"parts": []}', "object missing required field count"),
        *(("[]", "expected object, got array"), ("", "truncated"), ("{", "truncated")),
        *(("\ud800", "."), ("[" * 100_000, "."), ('{"count": 1, "facts": ' + "[" * 100_000, ".")),
    ],
    ids=lambda text: text[:40].encode(errors="replace").decode(),
)
def test_one_line_names_the_field(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        decode(text.encode(errors="surrogatepass"), Outer)
    assert "\n" not in str(refused.value) and "`" not in str(refused.value)


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert decode('{"count": 1, "colour": "red"}', Outer) == Outer(1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_neither_written_nor_converted(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"results": [Inner(1.0), {"a": value}]})
    with pytest.raises(InputError, match=r"facts\.a\[1\]: NaN and Infinity are not allowed"):
        convert({"count": 1, "facts": {"a": [0.0, value]}}, Outer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"schema": 2, "count": "later versions may"}',
            "schema 2 is not 1; it is of a later version; update",
        ),
        ('{"count": 1}', r"not a thing, or damaged \(object missing required field schema\)"),
        ('{"schema": 1, "count": null}', r"damaged \(count: expected int, got null\); make it"),
        ('{"schema": "1"}', "schema: expected int, got str"),
        ("", "the thing is empty"),
    ],
)
def test_a_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        read(path, Outer, "thing", "make it again")
    assert str(refused.value).startswith(f"{path}: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_value_is_a_record_or_one_line(data: Any) -> None:
    for value in (data, {"count": 1, "parts": data}, {"count": 1, "facts": {"a": data}}):
        try:
            assert isinstance(convert(value, Outer), Outer)
        except InputError as error:
            assert "\n" not in str(error)
