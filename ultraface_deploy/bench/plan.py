"""Which configurations to time: models x backends x precisions x thread counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ultraface_deploy import models as registry
from ultraface_deploy.agreement.precision import PRECISIONS, Precision
from ultraface_deploy.artifacts.convert import Step, ensure, has_precision, step_for
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.artifacts.verify import readers
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.errors import InputError

Note = Callable[[str], None]
Size = tuple[int, int]


@dataclass(frozen=True)
class Configuration:
    """One thing to time: an artifact on a backend with a number of threads.

    `name` is what the model is called in results: with its folder where two folders hold a model
    of one name and size.
    """

    folder: ArtifactFolder
    artifact: Artifact
    backend: str
    threads: int
    name: str = ""

    @property
    def model(self) -> str:
        """The model's name in results."""
        return self.name or self.folder.spec.name


def configurations(
    models: Sequence[str | Path] = (),
    backends: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = ("fp32",),
    threads: Sequence[int] = (1,),
    input_sizes: Sequence[Size] = (),
    note: Note = lambda message: None,
) -> list[Configuration]:
    """Return every combination that exists, converting what was named and is missing.

    Args:
        models: artifact folders, or names of embedded models; none for the default model.
        backends: names of runtimes; None for every installed one that has an artifact.
        precisions: None for every one that the folder has.
        threads: thread counts.
        input_sizes: (width, height) to convert to; none for the size of the artifacts.
        note: told what is converted and what is left out.

    Raises:
        InputError: there is nothing to time, or no such model.
        MissingDependency: a named runtime is not installed.
    """
    for backend in backends or ():
        get_backend(backend).require()
    found: list[Configuration] = []
    sizes: Sequence[Size | None] = input_sizes or (None,)
    for model, size in product(models or (registry.DEFAULT_MODEL,), sizes):
        folder = _open(model, size, _steps(backends, precisions), note)
        pairs = list(_pairs(folder, backends, precisions, note))
        if not pairs:
            have = ", ".join(artifact.id for artifact in folder.artifacts) or "nothing"
            raise InputError(
                f"{folder.path}: has nothing to time in {' or '.join(precisions or PRECISIONS)} "
                f"(it has {have}); convert it first, or choose another --precision"
            )
        found += [Configuration(folder, *pair, count) for pair in pairs for count in threads]
    return _told_apart(found)


def _told_apart(found: Sequence[Configuration]) -> list[Configuration]:
    """Name the folder where the model's name and size alone would mean two."""
    folders = defaultdict(set)
    for c in found:
        folders[_network(c)].add(c.folder.path)
    return [
        replace(c, name=f"{c.folder.spec.name} ({c.folder.path})")
        if len(folders[_network(c)]) > 1
        else c
        for c in found
    ]


def _network(configuration: Configuration) -> tuple[str, int, int]:
    spec = configuration.folder.spec
    return spec.name, spec.width, spec.height


def _steps(backends: Sequence[str] | None, precisions: Sequence[Precision] | None) -> list[Step]:
    """What must be converted: what was asked for by name, and nothing where all are wanted."""
    if precisions is None or (backends is None and set(precisions) == {"fp32"}):
        return []
    if backends is not None:
        return [step_for(get_backend(name), kind) for name in backends for kind in precisions]
    runtimes = (get_backend(name) for name in ("onnxruntime", "mnn", "ncnn"))
    return [
        step_for(runtime, kind)
        for runtime in runtimes
        for kind in precisions
        if runtime.available() and any(has_precision(format, kind) for format in runtime.formats)
    ]


def _open(model: str | Path, size: Size | None, steps: list[Step], note: Note) -> ArtifactFolder:
    path = Path(model)
    entry = registry.registry().get(str(model))
    if entry is None or path.exists():
        if size is None:
            return ensure(path, steps, report=note)
        return _resized(path, size, steps, note)
    return ensure(None, steps, entry.name, size, report=note)


def _resized(path: Path, size: Size, steps: list[Step], note: Note) -> ArtifactFolder:
    """Convert the network of a folder to another input size, in a folder beside it."""
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.source import resolve_source

    opened = ensure(path, steps, report=note)
    if (opened.spec.width, opened.spec.height) == size:
        return opened
    beside = path.resolve().with_name(f"{path.resolve().name}-{size[0]}x{size[1]}")
    if beside.is_dir():
        return ensure(beside, steps, report=note)
    source = resolve_source(path, size)
    note(f"{beside} does not exist yet: converting {path} to {size[0]}x{size[1]}")
    if not steps:
        return convert(source, ["all"], output=beside, report=note)
    for step in steps:
        folder = convert(source, [step.format], step.precision, beside, report=note)
    return folder


def _pairs(
    folder: ArtifactFolder,
    backends: Sequence[str] | None,
    precisions: Sequence[Precision] | None,
    note: Note,
) -> Iterator[tuple[Artifact, str]]:
    for name in backends or backend_names():
        backend = get_backend(name)
        artifacts = [
            artifact
            for precision in precisions or PRECISIONS
            if (artifact := _best(folder, name, precision)) is not None
        ]
        if artifacts and not backend.available():
            note(f"left out: {name} is not installed here")
            continue
        for artifact in artifacts:
            folder.intact_files(artifact)
            yield artifact, name


def _best(folder: ArtifactFolder, backend: str, precision: Precision) -> Artifact | None:
    """The artifact of a precision in the format that the backend runs best."""
    for format in get_backend(backend).formats:
        if folder.has(format, precision):
            artifact = folder.find(format, precision)
            if backend in readers(artifact):
                return artifact
    return None
