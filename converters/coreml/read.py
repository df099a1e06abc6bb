"""What the files of an `.mlpackage` say of themselves, without Core ML."""

# Tested by tests/converters/coreml/test_coreml.py.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.backends.mil import read_model
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.limits import Limit

_VERSION = b"\x02\0\0\0"


def check(files: Sequence[Path]) -> None:
    """Refuse files that are damaged.

    Raises:
        InputError: no program, or no storage of its weights.
    """
    read_model(files[0])
    Limit.MODEL.check(files[1])
    with files[1].open("rb") as stream:
        # How many constants it holds, and the version of its form.
        if stream.read(8)[4:] != _VERSION:
            raise InputError(f"{files[1]}: no weights of Core ML, or damaged; convert again")


def stated_spec(model: Path) -> ModelSpec | None:
    """Read the spec that our converter wrote, None for other people's files."""
    said = read_model(model).description.metadata.userDefined
    return ModelSpec.from_json(said[METADATA_KEY]) if METADATA_KEY in said else None
