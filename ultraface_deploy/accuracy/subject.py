"""What is evaluated: one artifact on one runtime, as a value that other processes can load."""

# Tested by tests/accuracy/test_run.py.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ultraface_deploy.agreement.precision import PRECISIONS, Precision
from ultraface_deploy.artifacts.choose import (
    choose_artifact,
    find_files,
    passed_in_halves,
    precision_of,
    runtimes_of,
)
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.recognition import sound_files, stated_size
from ultraface_deploy.artifacts.single import SingleFile
from ultraface_deploy.backends import Backend, Session, get_backend
from ultraface_deploy.converters import model_file
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.files import sha256_of


@dataclass(frozen=True)
class Subject:
    """An artifact, the backend that runs it, and the network it holds, at the size it is run."""

    artifact: str
    backend: str
    precision: Precision
    files: tuple[Path, ...]
    spec: ModelSpec

    @property
    def label(self) -> str:
        """How messages and folders call it."""
        return f"{self.artifact}@{self.backend}"

    def open(self, width: int, height: int) -> Session:
        """Load it with one thread for inputs of this size.

        Raises:
            MissingDependency: the runtime is not installed.
            BackendError: the runtime cannot run it, or not at this size.
        """
        spec = self.spec.resized(width, height)
        halves = passed_in_halves(self.files[0])
        return get_backend(self.backend).load(self.files, spec, 1, self.precision, halves)

    def describe(self) -> dict[str, Any]:
        """Return the JSON form: everything about it that can change a figure."""
        return {
            "model": self.spec.name,
            "artifact": self.artifact,
            "backend": self.backend,
            "backend_version": get_backend(self.backend).version(),
            "precision": self.precision,
            "input": {"width": self.spec.width, "height": self.spec.height},
            "bytes": sum(path.stat().st_size for path in self.files),
            "sha256": {path.name: sha256_of(path) for path in self.files},
        }


def find_subjects(
    model: str | Path,
    backends: Sequence[str] = (),
    precisions: Sequence[Precision] | None = (),
    input_size: tuple[int, int] | None = None,
    known: Known = NOTHING,
) -> list[Subject]:
    """Find what to evaluate.

    Args:
        model: an artifact folder, a single model file, or the name of an embedded model.
        backends: runtimes; none for the first that reads what is there, `all` for everything
            that an artifact folder holds, or a file, on every installed runtime.
        precisions: which of a folder's artifacts; none of them for fp32, and with backend `all`
            for any; None for any, on those backends or, where none is named, on every one.
        input_size: (width, height) to run at; None for the model's own.
        known: of single files that do not state it: normalisation, outputs to ignore.

    Raises:
        InputError: nothing is there for a backend and precision, or not at this input size.
        MissingDependency: a runtime is not installed.
    """
    path = model_file(Path(model))
    if path.is_dir():
        known.refuse_for(model)
    if precisions is None and path.is_dir():
        named = [] if "all" in backends else backends
        found = _everything(ArtifactFolder.open(path), PRECISIONS, input_size, named)
    elif "all" not in backends or path.is_file():
        names: list[str | None] = [*backends] or [None]
        if "all" in backends:
            names = [
                each.name for each in SingleFile.open(path, None, None, input_size, known).readers
            ]
        kinds = precisions or ("fp32",)
        found = [_subject(path, name, kind, input_size, known) for name in names for kind in kinds]
    elif path.is_dir():
        found = _everything(ArtifactFolder.open(path), precisions or PRECISIONS, input_size)
    else:
        raise InputError(f"{model}: `backend` all: give an artifact folder or a model file")
    return list(dict.fromkeys(found))


def _subject(
    path: Path,
    name: str | None,
    precision: Precision,
    size: tuple[int, int] | None,
    known: Known,
) -> Subject:
    if path.is_dir():
        folder = ArtifactFolder.open(path)
        runtime, artifact = choose_artifact(folder, name, precision)
        files, spec = sound_files(folder, artifact, runtime), folder.spec
        identifier = artifact.id
    else:
        runtime, files, spec = find_files(path, name, precision, size, None, known)
        identifier = files[0].name
        if path.is_file():
            precision = precision_of(path, precision)
    return _at_size(Subject(identifier, runtime.name, precision, files, spec), runtime, size)


def _everything(
    folder: ArtifactFolder,
    precisions: Sequence[Precision],
    size: tuple[int, int] | None,
    named: Sequence[str] = (),
) -> list[Subject]:
    for name in named:
        get_backend(name).require()
    found = []
    for artifact in folder.artifacts:
        if artifact.precision in precisions:
            for runtime in runtimes_of(artifact.format, artifact.precision):
                if runtime.available() and (not named or runtime.name in named):
                    files = sound_files(folder, artifact, runtime)
                    subject = Subject(
                        artifact.id, runtime.name, artifact.precision, files, folder.spec
                    )
                    found.append(_at_size(subject, runtime, size))
    if idle := [name for name in named if name not in {each.backend for each in found}]:
        raise InputError(
            f"{folder.path}: contains nothing that {', '.join(idle)} runs; convert to more formats"
        )
    if not found:
        raise InputError(
            f"{folder.path}: contains nothing in {', '.join(precisions)} that runs here; "
            "convert in another"
        )
    return found


def _at_size(subject: Subject, runtime: Backend, size: tuple[int, int] | None) -> Subject:
    spec = subject.spec
    if size is None or size == (spec.width, spec.height):
        return subject
    fixed = not runtime.runs_original and (
        spec.head == "decoded" or stated_size(runtime, subject.files) not in (None, size)
    )
    if fixed:
        raise InputError(
            f"{subject.files[0]}: is made for {spec.width}x{spec.height}; convert the model again "
            f"with `input_size` {size[0]}x{size[1]}"
        )
    return Subject(
        subject.artifact, subject.backend, subject.precision, subject.files, spec.resized(*size)
    )
