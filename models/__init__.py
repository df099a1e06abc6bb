"""What ships, and the registry of what can be pulled."""

# Tested by tests/models/test_registry.py.

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.records import Version, read
from ultraface_deploy.safe.refusals import missing, nearest

FOLDER = Path(__file__).resolve().parent
DEFAULT_MODEL = "slim-320"
TABLE_SUFFIX = ".calibration.json"


@dataclass(frozen=True)
class RegistryEntry:
    """One checkpoint: what it is, where it is, and the SHA-256 it must have.

    `file` names a checkpoint that ships in this folder, `url` one that can be downloaded; an
    entry has one of them. `onnx` is the shipped export for machines without torch.
    """

    name: str
    architecture: Literal["slim", "rfb"]
    width: int
    height: int
    sha256: str
    licence: str
    description: str
    file: str | None = None
    onnx: str | None = None
    onnx_sha256: str | None = None
    url: str | None = None

    @property
    def embedded(self) -> bool:
        """Whether the checkpoint ships with the package."""
        return self.file is not None


@dataclass(frozen=True)
class _Registry:
    schema: Version
    models: tuple[RegistryEntry, ...]


@lru_cache(maxsize=1)
def registry() -> dict[str, RegistryEntry]:
    """Return all entries by name.

    Raises:
        InputError: two entries share a name, or the file is damaged.
    """
    entries: dict[str, RegistryEntry] = {}
    path = FOLDER / "registry.json"
    for entry in read(path, _Registry, "registry of models", "install the package again").models:
        if entry.name in entries:
            raise InputError(
                f"models/registry.json: two models are named {entry.name}; "
                "install the package again"
            )
        entries[entry.name] = entry
    return entries


def find(name: str, or_file: bool = False) -> RegistryEntry:
    """Return the entry of that name.

    Args:
        name: of a model.
        or_file: whether a file or a folder might have been given too, which a refusal then says.

    Raises:
        InputError: there is none; the message lists what there is.
    """
    try:
        return registry()[name]
    except KeyError:
        files = ", or give a .pth, an .onnx or an artifact folder" if or_file else ""
        if or_file and (near := nearest(Path(name), "either")):
            raise InputError(f"no model named {name!r}; did you mean {near}?") from None
        raise InputError(
            f"no model named {name!r}; choose from {', '.join(registry())}{files}"
        ) from None


def require_model(path: Path, what: str = "model") -> None:
    """Refuse a path that is not a readable, non-empty file; a name of a model may be meant.

    Raises:
        InputError: names the path, and the nearest file or model there is.
    """
    if not path.exists():
        raise InputError(f"{path}: {missing(path, what, otherwise=_meant_by(path))}")
    require_file(path, what)


def _meant_by(path: Path) -> str:
    """The model of which `slim-320.pth`, or a name that its makers gave, would be the file."""
    for entry in registry().values():
        if entry.name == path.stem or (entry.url or "").endswith(f"/{path.name}"):
            return f"did you mean the model {entry.name}?"
    return ""


def calibration_tables() -> list[Path]:
    """Return the calibration tables that ship."""
    return sorted(FOLDER.glob(f"*{TABLE_SUFFIX}"))


def ships(sha256: str) -> bool:
    """Whether an ONNX file of this SHA-256 is one that ships."""
    return any(entry.onnx_sha256 == sha256 for entry in registry().values())


def known_checkpoint(sha256: str) -> RegistryEntry | None:
    """Return the entry whose checkpoint has this SHA-256."""
    return next((entry for entry in registry().values() if entry.sha256 == sha256), None)
