"""The artifact folder: converted files and the manifest that says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.no_folder import no_folder
from ultraface_deploy.artifacts.turns import locked, scratch_in
from ultraface_deploy.converters import model_file
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Description, ModelSpec
from ultraface_deploy.safe.files import inside, read_text, sha256_of, write_text
from ultraface_deploy.safe.records import SCHEMA, Natural, Version, encode, read

MANIFEST = "manifest.json"
_ARRIVING = ".arriving"


def artifact_id(format: str, precision: Precision) -> str:
    """Name an artifact within its folder: `mnn`, `mnn-int8`."""
    return format if precision == "fp32" else f"{format}-{precision}"


def file_names(model: str, suffixes: Sequence[str], precision: Precision) -> list[str]:
    """Name the files of an artifact within its folder: `slim-320.mnn`, `slim-320.int8.mnn`."""
    infix = "" if precision == "fp32" else f".{precision}"
    return [f"{model}{infix}{suffix}" for suffix in suffixes]


@dataclass(frozen=True)
class Artifact:
    """One entry of a manifest: a network in one format and precision.

    `files` are names within the folder, some in a folder of their own; `verification` is the result
    of `verify`, or None; `estimate` is what the compiler for an accelerator expects of it, which
    nobody measured; `halves` is, for each emulated core it was tried on, how an INT8 artifact
    agrees there when its runtime computes the rest in half floats.
    """

    id: str
    format: str
    precision: Precision
    files: tuple[str, ...]
    sha256: Mapping[str, str]
    bytes: Natural
    verification: Mapping[str, Any] | None = None
    estimate: Mapping[str, Any] | None = None
    halves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.files:
            if inside(Path(), name).as_posix() != name or f"/{name}".count("/."):
                raise ValueError(f"file name {name!r} leads out of the folder")
        if not self.files:
            raise ValueError(f"{self.id} is an artifact without files")

    @property
    def verified(self) -> bool:
        """Whether it was compared with the original network and agreed."""
        return self.verification is not None and self.verification.get("passed") is True

    @property
    def passed_in_halves(self) -> bool:
        """Whether it agreed with the rest computed in half floats, wherever that was tried."""
        return bool(self.halves) and all(
            found.get("passed") is True for found in self.halves.values()
        )


@dataclass(frozen=True)
class Source:
    """The file a folder was made from."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Model(Description):
    """The network of a folder, and what it was made from."""

    source: Source = field(kw_only=True)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds."""

    schema: Version
    model: Model
    artifacts: tuple[Artifact, ...]
    tools: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One that bears the original's name would be compared with nothing.
        names = [artifact.id for artifact in self.artifacts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two artifacts are called {twice[0]}")
        for artifact in self.artifacts:
            if artifact.id != (wanted := artifact_id(artifact.format, artifact.precision)):
                raise ValueError(f"{artifact.id} states what makes it {wanted}")


@dataclass(frozen=True)
class ArtifactFolder:
    """A folder of artifacts of one network.

    The object is a snapshot of the manifest; `publish` returns a new one.
    """

    path: Path
    spec: ModelSpec
    source: Source
    artifacts: tuple[Artifact, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> ArtifactFolder:
        """Read a folder's manifest.

        Raises:
            InputError: there is no folder or manifest, or it is damaged.
        """
        path = model_file(Path(path))
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise InputError(f"{path}: {no_folder(path, MANIFEST)}")
        found = read(manifest, Manifest, "manifest", "convert again")
        try:
            spec = ModelSpec.from_description(found.model)
        except InputError as error:
            raise InputError(f"{manifest}: {error}") from error
        return cls(path, spec, found.model.source, found.artifacts, found.tools)

    def get(self, identifier: str) -> Artifact:
        """Return the artifact of that id.

        Raises:
            InputError: the folder has none.
        """
        for artifact in self.artifacts:
            if artifact.id == identifier:
                return artifact
        have = ", ".join(artifact.id for artifact in self.artifacts) or "none"
        raise InputError(f"{self.path}: has no artifact {identifier}; it has {have}")

    def has(self, format: str, precision: Precision = "fp32") -> bool:
        """Whether the folder holds a format in a precision."""
        wanted = artifact_id(format, precision)
        return any(artifact.id == wanted for artifact in self.artifacts)

    def find(self, format: str, precision: Precision = "fp32") -> Artifact:
        """Return the artifact of a format and precision.

        Raises:
            InputError: the folder has none.
        """
        return self.get(artifact_id(format, precision))

    def files(self, artifact: Artifact) -> tuple[Path, ...]:
        """Return the paths of an artifact's files."""
        return tuple(self.path / name for name in artifact.files)

    def check_files(self, artifact: Artifact) -> str | None:
        """Say which file of an artifact is missing or changed; None when all are as recorded."""
        for name, path in zip(artifact.files, self.files(artifact), strict=True):
            if not path.is_file():
                return f"{name} is missing"
            if sha256_of(path) != artifact.sha256.get(name):
                return f"{name} is not the file that was converted (SHA-256 differs)"
        return None

    def intact_files(self, artifact: Artifact) -> tuple[Path, ...]:
        """Return the paths of an artifact's files after checking that they are as recorded.

        Raises:
            InputError: a file is missing or was changed.
        """
        if problem := self.check_files(artifact):
            raise InputError(f"{self.path}: {problem}; convert again")
        return self.files(artifact)

    def publish(
        self, artifact: Artifact, made: Sequence[Path], tools: Mapping[str, str]
    ) -> ArtifactFolder:
        """Move finished files into the folder and record them in the manifest.

        The folder is locked meanwhile, so that two runs cannot lose each other's entries. The old
        manifest entry goes before its files are replaced: the manifest never names other bytes. A
        note of the names stays while they are moved in, so that a run that is killed then leaves
        nothing that looks like other people's files.

        Args:
            artifact: the entry; its `files` name `made`, in the same order.
            made: finished files on the same file system.
            tools: versions of the tools that made it.
        """
        with locked(self.path):
            current = self._latest()
            others = tuple(a for a in current.artifacts if a.id != artifact.id)
            # Of an artifact that a killed run left the note says so until it is made again.
            earlier = self._arriving()
            self._note({*earlier, *artifact.files})
            if len(others) < len(current.artifacts):
                replace(current, artifacts=others)._write()
            for source, target in zip(made, self.files(artifact), strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
            updated = replace(
                current,
                artifacts=(*others, artifact),
                tools={**current.tools, **tools},
            )
            updated._write()
            self._note(earlier.difference(artifact.files))
        return updated

    def _arriving(self) -> set[str]:
        """Return the files that are being moved in, or were when a run was killed."""
        note = self.path / _ARRIVING
        return set(read_text(note).splitlines()) if note.is_file() else set()

    def _note(self, arriving: set[str]) -> None:
        if arriving:
            write_text(self.path / _ARRIVING, "\n".join(sorted(arriving)))
        else:
            (self.path / _ARRIVING).unlink(missing_ok=True)

    def amend(self, artifact: Artifact) -> ArtifactFolder:
        """Replace what the manifest says of an artifact whose files stay as they are.

        Raises:
            InputError: another run has replaced or removed it meanwhile.
        """
        with locked(self.path):
            current = self._latest()
            if current.get(artifact.id).sha256 != artifact.sha256:
                raise InputError(
                    f"{self.path}: another run has replaced {artifact.id} meanwhile; try again"
                )
            others = tuple(a for a in current.artifacts if a.id != artifact.id)
            updated = replace(current, artifacts=(*others, artifact))
            updated._write()
        return updated

    def strangers(self, names: Sequence[str]) -> list[Path]:
        """Return which files of these names are there that no run of this tool has put there."""
        known = {name for artifact in self.artifacts for name in artifact.files}
        known |= self._arriving()
        found = []
        for path in (self.path / name for name in names if name not in known):
            outer = self.path / path.relative_to(self.path).parts[0]
            in_the_way = path if outer.is_dir() else outer
            if in_the_way.exists() or in_the_way.is_symlink():
                found.append(in_the_way)
        return found

    def scratch(self) -> AbstractContextManager[Path]:
        """Return a folder within this one for the files of one run; it is gone afterwards."""
        return scratch_in(self.path, MANIFEST)

    def _latest(self) -> ArtifactFolder:
        """The folder as it is on disk now, if it holds the same network; else an empty one."""
        if (self.path / MANIFEST).is_file():
            try:
                on_disk = ArtifactFolder.open(self.path)
            except InputError:
                return replace(self, artifacts=(), tools={})
            if on_disk.spec == self.spec and on_disk.source == self.source:
                return on_disk
        return replace(self, artifacts=(), tools={})

    def _write(self) -> None:
        model = Model(**vars(self.spec.described()), source=self.source)
        tools = dict(sorted(self.tools.items()))
        write_text(self.path / MANIFEST, encode(Manifest(SCHEMA, model, self.artifacts, tools)))


def describe_files(format: str, precision: Precision, files: Mapping[str, Path]) -> Artifact:
    """Build the manifest entry of finished files, given by their final names."""
    return Artifact(
        id=artifact_id(format, precision),
        format=format,
        precision=precision,
        files=tuple(files),
        sha256={name: sha256_of(path) for name, path in files.items()},
        bytes=sum(path.stat().st_size for path in files.values()),
    )
