"""The file formats by name; one folder per format, whose record says all there is to know of it.

A third party adds one through the entry-point group `ultraface_deploy.converters`.
"""

# Tested by tests/converters/test_steps.py.

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ultraface_deploy.converters.base import Conversion, Format
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe import plugins
from ultraface_deploy.safe.kinds import kind_of, not_a
from ultraface_deploy.safe.toolbox import ABSENT

__all__ = [
    "Conversion",
    "Format",
    "format_and_files",
    "format_names",
    "format_of",
    "get_format",
    "model_file",
    "target_names",
]

# Where their records stand, in the order in which `--to all` makes them.
_BUILT_IN = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxsim": "onnx.simplify",
    "mnn": "mnn",
    "ncnn": "ncnn",
    "caffe": "caffe",
    "tflite": "tflite",
    "openvino": "openvino",
    "ethosu": "ethosu",
    "kmodel": "kmodel",
    "rknn": "rknn",
    "espdl": "espdl",
    "coreml": "coreml",
    "c": "c",
}
_GROUP = "ultraface_deploy.converters"


def format_names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(_BUILT_IN) + plugins.usable(_GROUP, Format, _BUILT_IN)


def refused_formats() -> list[str]:
    """Return a line for each plug-in that cannot be used."""
    return plugins.refused(_GROUP, Format, _BUILT_IN)


def target_names() -> tuple[str, ...]:
    """Return all names that `--to` takes, besides `all`."""
    return tuple(record.name for record in _formats() if record.source is not None)


def get_format(name: str) -> Format:
    """Return the record of a format; imports that alone.

    Raises:
        InputError: there is none of that name, or a plug-in cannot be used.
        MissingDependency: a plug-in needs a package that is not installed.
    """
    if name in _BUILT_IN:
        record = import_module(f"{__name__}.{_BUILT_IN[name]}").FORMAT
        assert isinstance(record, Format)
        return record
    if (found := plugins.plugin(_GROUP, Format, name)) is not None:
        return found
    if name in ABSENT:
        raise InputError(f"format {name}: not offered: {ABSENT[name]}; see docs/targets.md")
    raise InputError(f"format {name}: unknown; choose from {', '.join(target_names())} and all")


def format_of(path: Path) -> Format | None:
    """Return the format of a model file of other people's making, by its suffix."""
    return next((record for record in _formats() if path.suffix in record.known_by), None)


def model_file(path: Path) -> Path:
    """Return the file that stands for a model: of a package, which is a folder, the one within."""
    if path.suffix and path.is_dir():
        for record in _formats():
            package, _, inner = record.suffixes[0].partition("/")
            if inner and path.suffix == package:
                return path / inner
    return path


def format_and_files(path: Path) -> tuple[Format, tuple[Path, ...]]:
    """Return the format of a model file of other people's making, and all files of it.

    Raises:
        InputError: the suffix is unknown or a companion file is missing.
    """
    if (record := format_of(path)) is None:
        known = dict.fromkeys(suffix for each in _formats() for suffix in each.known_by)
        give = f"known are {', '.join(known)}"
        raise InputError(f"{path}: {no_model(path, give)}")
    return record, record.companions(path)


def no_model(path: Path, give: str) -> str:
    """Return what is wrong with a file that by its suffix is of no known format, and what to give.

    Args:
        path: the file.
        give: what to give instead, unless the file itself says what was meant.
    """
    if kind_of(path) == "manifest":
        give = f"give its folder, {path.parent}"
    return f"{not_a(path, 'model') or 'unknown kind of model file'}; {give}"


def _formats() -> Iterator[Format]:
    return map(get_format, format_names())
