"""The converters by the name after `--to`; one file per format.

A third party adds one through the entry-point group `ultraface_deploy.converters`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from ultraface_deploy.converters.base import Conversion, Converter
from ultraface_deploy.errors import InputError, MissingDependency

__all__ = ["Conversion", "Converter", "get_converter", "target_names"]

# In the order in which `--to all` makes them.
_BUILT_IN = {
    "onnx": "onnx.graph",
    "onnxsim": "onnx.simplify",
    "mnn": "mnn.convert",
    "ncnn": "ncnn.convert",
    "caffe": "caffe.convert",
}
_GROUP = "ultraface_deploy.converters"


def target_names() -> tuple[str, ...]:
    """Return all names that `--to` takes, besides `all`."""
    return tuple(_BUILT_IN) + tuple(entry.name for entry in entry_points(group=_GROUP))


def get_converter(name: str) -> Converter:
    """Return the converter to a format; imports that converter's file only.

    Raises:
        InputError: there is none of that name.
        MissingDependency: a package that the converter's file imports is not installed.
    """
    try:
        if name in _BUILT_IN:
            return _load(f"{__name__}.{_BUILT_IN[name]}")
        for entry in entry_points(group=_GROUP, name=name):
            converter = entry.load()
            assert isinstance(converter, Converter)
            return converter
    except ModuleNotFoundError as error:
        raise MissingDependency.package(str(error.name), "onnx", f"converting to {name}") from error
    raise InputError(f"--to {name}: unknown; choose from {', '.join(target_names())} and all")


def _load(module: str) -> Converter:
    converter = import_module(module).CONVERTER
    assert isinstance(converter, Converter)
    return converter
