"""Records in and out of JSON, typed by their annotations: the one place that knows how.

A record is a dataclass. What is read is what its annotations say, or there is one line that names
the field; what is written is finite, for JSON has no NaN and no Infinity.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.kinds import damaged, not_a
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.refusals import unreadable

Version = Literal[1]
SCHEMA: Version = 1
"""The version of a JSON file that this package writes and reads, unless its reader says more."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]

T = TypeVar("T")


class Strict:
    """Base of records in which a field of another name is a mistake, not from a later version."""


@dataclass(frozen=True)
class _Versioned:
    schema: int


def read(path: Path, kind: type[T], what: str, again: str, newest: int = SCHEMA) -> T:
    """Read a JSON file that this package wrote.

    Args:
        path: the file.
        kind: the record it holds.
        what: its name in messages, as `result of bench --json`.
        again: what to do where it is damaged, as `convert again`.
        newest: the schema up to which this kind of file can be read.

    Raises:
        InputError: it is missing, empty, too large, of another schema, or not such a record; one
            line that names the file and the field.
    """
    require_file(path, what, Limit.TEXT)
    try:
        content = read_text(path)
        version = decode(content, _Versioned).schema
        if SCHEMA <= version <= newest:
            return decode(content, kind)
    except OSError as error:
        raise InputError(f"{path}: {unreadable(error)}") from error
    except InputError as error:
        raise InputError(f"{path}: {damaged(path, what, error, again)}") from error
    if other := not_a(path, what):
        raise InputError(f"{path}: {other}")
    if version > newest:
        again = f"it is of a later version; update ultraface-deploy, or {again}"
    known = SCHEMA if newest == SCHEMA else f"{SCHEMA} to {newest}"
    raise InputError(f"{path}: schema {version} is not {known}; {again}")


def decode(content: bytes | str, kind: type[T]) -> T:
    """Read one record from JSON.

    Raises:
        InputError: not such a record; names the field.
    """
    try:
        data = msgspec.json.decode(content)
    except _PROBLEMS as error:
        raise InputError(_not_finite_in(content) or _problem(error)) from error
    return _record(data, kind)


def convert(data: Any, kind: type[T]) -> T:
    """Make a record of what a JSON or TOML reader, or `torch.load`, returned.

    Raises:
        InputError: not such a record; names the field.
    """
    # JSON's own reader never returns such a number; TOML's and torch's do.
    if field := _not_finite(data):
        raise InputError(f"{field}: {_NO_NUMBER}")
    return _record(data, kind)


def plain(record: Any) -> dict[str, Any]:
    """Return a record as the dicts, lists and numbers that a JSON reader returns.

    Raises:
        ValueError: a number in it is not finite.
    """
    result: dict[str, Any] = json.loads(encode(record))
    return result


def encode(record: Any) -> str:
    """Return a record, or dicts and lists of records, as indented JSON with a line's end.

    Raises:
        ValueError: a number in it is not finite.
    """
    return json.dumps(msgspec.to_builtins(record), indent=2, allow_nan=False) + "\n"


def json_schema(kind: Any, title: str) -> Mapping[str, Any]:
    """Return the JSON Schema (2020-12) of a kind of record."""
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **schema,
        "$defs": parts,
    }


_PROBLEMS = (*PARSE_ERRORS, msgspec.MsgspecError)
_NO_NUMBER = "NaN and Infinity are not allowed"
_FIELD = re.compile(r"(.*) - at \$\.?(.+)")


def _record(data: Any, kind: type[T]) -> T:
    try:
        record = msgspec.convert(data, kind)
        _refuse_unknown(data, record, "")
    except _PROBLEMS as error:
        raise InputError(_problem(error)) from error
    return record


def _refuse_unknown(data: Any, record: Any, where: str) -> None:
    """Look for fields that a strict record has not got; `data` has been found to fit otherwise."""
    if isinstance(record, (list, tuple)):
        if record and is_dataclass(record[0]):
            for number, (each, made) in enumerate(zip(data, record, strict=True)):
                _refuse_unknown(each, made, f"{where}[{number}]")
    elif is_dataclass(record):
        names = {field.name for field in fields(record)}
        if isinstance(record, Strict) and (unknown := sorted(data.keys() - names)):
            raise ValueError(f"{where.lstrip('.') or 'record'}: unknown field {unknown[0]!r}")
        for name in names & data.keys():
            _refuse_unknown(data[name], getattr(record, name), f"{where}.{name}")


def _not_finite_in(content: bytes | str) -> str:
    """Say where a text that is not JSON has such a number; Python's reader is not so strict."""
    try:
        field = _not_finite(json.loads(content))
    except PARSE_ERRORS:
        return ""
    return f"{field}: {_NO_NUMBER}" if field else ""


def _not_finite(data: Any, where: str = "") -> str:
    """Return the name of the first field that is not finite, an empty one if all are."""
    if isinstance(data, float):
        return "" if math.isfinite(data) else where.lstrip(".") or "number"
    if isinstance(data, Mapping):
        return next(filter(None, (_not_finite(v, f"{where}.{k}") for k, v in data.items())), "")
    if isinstance(data, (list, tuple)):
        found = (_not_finite(each, f"{where}[{k}]") for k, each in enumerate(data))
        return next(filter(None, found), "")
    return ""


def _problem(error: Exception) -> str:
    """Say in one line which field is wrong, and how."""
    text = " ".join(str(error).replace("`", "").split()) or type(error).__name__
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    if found := _FIELD.fullmatch(text):
        text = f"{found[2]}: {found[1]}"
    return text[:300]
