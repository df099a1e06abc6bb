"""What the files of an `.mlpackage` say of themselves, without Core ML."""

# Tested by tests/converters/coreml/test_coreml.py.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from ultraface_deploy.backends.mil import read_model
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.files import read_text, require_file, require_within
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import decode

_VERSION = b"\x02\0\0\0"


class _Item(TypedDict):
    """A part of a package; `path` is below `Data`."""

    path: str


# What counts of a package's own manifest, by the names that Core ML gives it.
class _Manifest(TypedDict):
    rootModelIdentifier: str
    itemInfoEntries: dict[str, _Item]


def check(files: Sequence[Path]) -> None:
    """Refuse files that are damaged.

    Raises:
        InputError: no program, no storage of its weights, a manifest that names other files, or a
            link that leads out of the package.
    """
    require_within(files[2].parent, files)
    _check_manifest(files[2], files[0])
    read_model(files[0])
    Limit.MODEL.check(files[1])
    with files[1].open("rb") as stream:
        # How many constants it holds, and the version of its form.
        if stream.read(8)[4:] != _VERSION:
            raise InputError(f"{files[1]}: no weights of Core ML, or damaged; convert again")


def _check_manifest(manifest: Path, model: Path) -> None:
    """Refuse a manifest by which Core ML would load another file than is read here."""
    require_file(manifest, "manifest of an .mlpackage", Limit.TEXT)
    try:
        said = decode(read_text(manifest), _Manifest)
        named = said["itemInfoEntries"][said["rootModelIdentifier"]]["path"]
    except KeyError as error:
        raise InputError(
            f"{manifest}: names no model ({error} is missing); convert again"
        ) from error
    except InputError as error:
        raise InputError(
            f"{manifest}: not the manifest of an .mlpackage, or damaged ({error}); convert again"
        ) from error
    read = model.relative_to(manifest.parent / "Data").as_posix()
    if named != read:
        raise InputError(
            f"{manifest}: names the model {named[:80]!r}; only {read} is read here; convert again"
        )


def stated_spec(model: Path) -> ModelSpec | None:
    """Read the spec that our converter wrote, None for other people's files."""
    said = read_model(model).description.metadata.userDefined
    return ModelSpec.from_json(said[METADATA_KEY]) if METADATA_KEY in said else None
