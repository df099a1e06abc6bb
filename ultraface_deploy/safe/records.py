"""Dataclasses from records of unknown origin: every value has the type that its field states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def build(kind: type[T], record: Any) -> T:
    """Make a dataclass from what a JSON or TOML reader returned, nested ones as well.

    Numbers are finite and not negative: no field that is read this way may be otherwise.

    Raises:
        ValueError: an unknown key, or a value of another type; names the field.
        TypeError: a field without default is missing.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"{kind.__name__.lower()}: {_shown(record)} is not a table of values")
    types = get_type_hints(kind)
    if unknown := record.keys() - types.keys():
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    return kind(**{name: _value(types[name], value, name) for name, value in record.items()})


def _value(type: Any, value: Any, name: str) -> Any:
    origin, arguments = get_origin(type), get_args(type)
    if is_dataclass(type):
        return build(type, value)  # type: ignore[arg-type]
    if origin in (Union, UnionType):
        (other,) = (each for each in arguments if each is not None.__class__)
        return None if value is None else _value(other, value, name)
    if origin in (list, tuple) and isinstance(value, list):
        return _sequence(origin, arguments, value, name)
    if _fits(type, origin, value):
        return float(value) if type is float else value
    raise ValueError(f"{name} cannot be {_shown(value)}")


def _fits(type: Any, origin: Any, value: Any) -> bool:
    if type is Any:
        return True
    if type in (int, float):
        allowed = (int, float) if type is float else int
        return isinstance(value, allowed) and value is not True and 0 <= value < math.inf
    if origin is Literal:
        return isinstance(value, str)  # which of them, its dataclass says better
    return isinstance(value, origin or type)


def _sequence(kind: Any, arguments: Sequence[Any], value: Sequence[Any], name: str) -> Any:
    if kind is tuple and arguments[-1] is not ... and len(arguments) != len(value):
        raise ValueError(f"{name} needs {len(arguments)} values")
    return kind(_value(arguments[0], each, name) for each in value)


def _shown(value: Any) -> str:
    return repr(value)[:40]
