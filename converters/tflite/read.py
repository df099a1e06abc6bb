"""What a `.tflite` file says of itself."""

# Tested by tests/backends/test_litert.py.

from __future__ import annotations

from pathlib import Path

import numpy as np

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.files import PARSE_ERRORS, require_file
from ultraface_deploy.safe.flatbuffer import Table
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import reason

# The identifier of the schema, which flatbuffers keep behind the offset of the root.
_MARK, _MARK_AT = b"TFL3", 4
# Ours have two; a damaged file may claim billions.
_MOST_ENTRIES = 64
# Fields of the schema, and numbers of its types (uint8, int8, int4) and of an operator.
_CODES, _GRAPHS, _BUFFERS, _DATA = 1, 2, 4, 0
_HALF, _INTEGERS, _DEQUANTIZE = 1, {3, 9, 17}, 6


def stated_spec(path: Path) -> ModelSpec | None:
    """Return the spec in a file of our own, None for other people's.

    Raises:
        InputError: the file is damaged, or its spec is.
    """
    text = read_metadata(path, METADATA_KEY)
    return None if text is None else ModelSpec.from_json(text.decode("utf-8", "replace"))


def stored_precision(path: Path) -> Precision:
    """Return how a file is stored, by the type of its constants and what takes them.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return _precision(Table.root(_content(path)))
    except ValueError as error:
        raise InputError(
            f"{path}: {damaged(path, 'TensorFlow Lite file', reason(error))}"
        ) from error


def _precision(model: Table) -> Precision:
    filled = [len(buffer.array(_DATA, np.uint8)) > 0 for buffer in model.tables(_BUFFERS)]
    codes = [max(each.number(0, "b"), each.number(3)) for each in model.tables(_CODES)]
    types, unpacked = set(), set()
    for graph in model.tables(_GRAPHS):
        tensors = graph.tables(0)
        constants = [n < len(filled) and filled[n] for n in (t.number(2, "I") for t in tensors)]
        for operator in graph.tables(3):
            code = operator.number(0, "I")
            taken = operator.array(1, np.int32).tolist()
            found = {
                tensors[n].number(1, "b") for n in taken if 0 <= n < len(tensors) and constants[n]
            }
            types |= found
            unpacked |= found if codes[code : code + 1] != [_DEQUANTIZE] else set()
    if _INTEGERS & types:
        # Weights that are made floats first save size alone.
        return "int8" if _INTEGERS & unpacked else "w8"
    return "fp16" if _HALF in types else "fp32"


def _content(path: Path) -> bytes:
    require_file(path, "TensorFlow Lite file", Limit.MODEL)
    content = path.read_bytes()
    if content[_MARK_AT : _MARK_AT + len(_MARK)] != _MARK:
        raise InputError(f"{path}: {damaged(path, 'TensorFlow Lite file', 'its mark is missing')}")
    return content


def read_metadata(path: Path, name: str) -> bytes | None:
    """Return the metadata of a name, None where there is none.

    Raises:
        InputError: the file is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = _content(path)
    try:
        model = schema.Model.GetRootAs(content)
        for index in range(min(model.MetadataLength(), _MOST_ENTRIES)):
            entry = model.Metadata(index)
            if entry is not None and entry.Name() == name.encode():
                found = model.Buffers(entry.Buffer()).DataAsNumpy()
                return found.tobytes() if isinstance(found, np.ndarray) else b""
    except (*PARSE_ERRORS, AssertionError) as error:  # flatbuffers checks by assertions
        raise InputError(
            f"{path}: {damaged(path, 'TensorFlow Lite file', reason(error))}"
        ) from error
    return None
