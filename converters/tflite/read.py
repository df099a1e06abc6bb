"""What a `.tflite` file says of itself."""

# Tested by tests/backends/test_litert.py.

from __future__ import annotations

from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.text import reason

# The identifier of the schema, which flatbuffers keep behind the offset of the root.
_MARK, _MARK_AT = b"TFL3", 4
# Ours have two; a damaged file may claim billions.
_MOST_ENTRIES = 64


def stated_spec(path: Path) -> ModelSpec | None:
    """Return the spec in a file of our own, None for other people's.

    Raises:
        InputError: the file is damaged, or its spec is.
    """
    text = read_metadata(path, METADATA_KEY)
    return None if text is None else ModelSpec.from_json(text.decode("utf-8", "replace"))


def read_metadata(path: Path, name: str) -> bytes | None:
    """Return the metadata of a name, None where there is none.

    Raises:
        InputError: the file is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    if content[_MARK_AT : _MARK_AT + len(_MARK)] != _MARK:
        raise InputError(f"{path}: {damaged(path, 'TensorFlow Lite file', 'its mark is missing')}")
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
