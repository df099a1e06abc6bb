"""A single model file, whoever made it: what it is, and which runtimes here can run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.choose import (
    find_files,
    installed,
    not_read,
    precision_of,
    runtimes_of,
)
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder, Source, describe_files
from ultraface_deploy.artifacts.source import owning_folder
from ultraface_deploy.backends import Backend, get_backend
from ultraface_deploy.converters import format_and_files
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.files import sha256_of


@dataclass(frozen=True)
class SingleFile:
    """A model file given by its name.

    `files` are its companions too, `readers` the chosen runtimes that run it, `able` all that do.
    `of_folder` is the artifact folder whose manifest lists it, None for other people's files: there
    is no original to compare those with.
    """

    path: Path
    files: tuple[Path, ...]
    spec: ModelSpec
    artifact: Artifact
    readers: tuple[Backend, ...]
    able: tuple[Backend, ...]
    of_folder: ArtifactFolder | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        backends: Sequence[str] | None = None,
        precision: Precision | None = None,
        input_size: tuple[int, int] | None = None,
        known: Known = NOTHING,
    ) -> SingleFile:
        """Find out what a file is.

        Args:
            path: a file of any format that runs here.
            backends: names to restrict to; None for every installed runtime that reads it.
            precision: how it is stored, where neither a manifest nor the file says it; see
                `precision_of`.
            input_size: (width, height) where the file does not state it.
            known: what else the user knows of it.

        Raises:
            InputError: no file of a known format, not a network of this family, or a named runtime
                does not read it.
            MissingDependency: a named runtime is not installed.
            BackendError: the first runtime cannot run it.
        """
        models.require_model(path)
        record, _ = format_and_files(path)
        folder = owning_folder(path)
        listed, format = None, record.name
        if folder is not None:
            listed = next(each for each in folder.artifacts if path.name in each.files)
            format = listed.format
        precision = precision_of(path, precision)
        able = tuple(each for each in runtimes_of(format, precision) if each.available())
        readers = able if backends is None else tuple(map(get_backend, dict.fromkeys(backends)))
        for backend in readers:
            backend.require()
            if backend.name not in {each.name for each in able}:
                raise InputError(not_read(backend, path.name, able))
        if not readers:
            installed(format, precision)  # which says what to install
        _, files, spec = find_files(path, readers[0].name, precision, input_size, None, known)
        artifact = listed or describe_files(format, precision, {each.name: each for each in files})
        return cls(path, files, spec, artifact, readers, able, folder)

    def timed(self) -> SingleFile:
        """Return the same without the runtimes whose milliseconds mean nothing.

        Raises:
            InputError: none is left.
        """
        readers = tuple(each for each in self.readers if each.times(self.artifact.format))
        if not readers:
            raise InputError(
                f"{self.path}: {self.readers[0].name} alone runs it here, and its milliseconds "
                "would mean nothing; time it on the device"
            )
        return replace(self, readers=readers)

    def as_folder(self) -> ArtifactFolder:
        """Return a folder, in memory alone, that holds nothing but the file."""
        source = Source(self.path.name, sha256_of(self.path))
        return ArtifactFolder(self.path.parent, self.spec, source, (self.artifact,))

    def others(self, backend: Backend) -> tuple[str, ...]:
        """Return the runtimes besides one on which the file can be compared with itself."""
        return tuple(each.name for each in self.able if each.name != backend.name)
