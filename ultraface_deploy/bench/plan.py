"""Which configurations to time: models x backends x precisions x thread counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ultraface_deploy import models as registry
from ultraface_deploy.agreement.precision import PRECISIONS, Precision
from ultraface_deploy.artifacts.choose import best
from ultraface_deploy.artifacts.ensure import ensure
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.artifacts.plan import Step, find_step, step_for
from ultraface_deploy.artifacts.recognition import sound_files
from ultraface_deploy.artifacts.single import SingleFile
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.converters import model_file
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.known import NOTHING, Known

# What `convert` has an option of its own for, besides FP32.
_MADE: tuple[Precision, ...] = ("fp16", "int8")
Note = Callable[[str], None]
Size = tuple[int, int]


@dataclass(frozen=True)
class Configuration:
    """One thing to time: an artifact on a backend with a number of threads.

    `name` is what the model is called in results: with its folder where two folders hold a model
    of one name and size. `file` is the single file that was given, whose `folder` holds nothing
    else; what it computes is compared with itself on the first of `witnesses` that runs it.
    """

    folder: ArtifactFolder
    artifact: Artifact
    backend: str
    threads: int
    name: str = ""
    file: Path | None = None
    witnesses: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The model's name in results."""
        return self.name or self.folder.spec.name

    @property
    def place(self) -> Path:
        """What was given: the folder, or the single file."""
        return self.file or self.folder.path


def configurations(
    models: Sequence[str | Path] = (),
    backends: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = ("fp32",),
    threads: Sequence[int] = (1,),
    input_sizes: Sequence[Size] = (),
    note: Note = lambda message: None,
    known: Known = NOTHING,
) -> list[Configuration]:
    """Return every combination that exists, converting what was named and is missing.

    Args:
        models: artifact folders, single model files, or names of embedded models; none for the
            default model.
        backends: names of runtimes; None for every installed one that has an artifact.
        precisions: None for every one that the folder has; what was named is converted, what `all`
            stands for is only said where it is missing.
        threads: thread counts.
        input_sizes: (width, height) to convert to; none for the size of the artifacts.
        note: told what is converted and what is left out.
        known: of single files that do not state it: normalisation, outputs to ignore.

    Raises:
        InputError: there is nothing to time, or no such model.
        MissingDependency: a named runtime is not installed.
    """
    for backend in map(get_backend, backends or ()):
        if not backend.timed:
            raise InputError(
                f"`backend` {backend.name}: is no runtime of a device, its milliseconds would mean "
                "nothing; time the file on the device, or choose another backend"
            )
        backend.require()
    found: list[Configuration] = []
    sizes: Sequence[Size | None] = input_sizes or (None,)
    for model, size in product(models or (registry.DEFAULT_MODEL,), sizes):
        path = model_file(Path(model))
        if path.is_file():
            file = SingleFile.open(path, backends, _only(precisions), size, known)
            found += _of_file(file.timed(), threads, note)
            continue
        known.refuse_for(model)
        folder = ensure(model, _steps(backends, precisions), size, note)
        pairs = list(_pairs(folder, backends, precisions, note))
        if precisions is None:
            _say_what_is_not_there(folder, note)
        _say_what_is_for_devices(folder, backends, precisions, note)
        if not pairs:
            have = ", ".join(artifact.id for artifact in folder.artifacts) or "nothing"
            raise InputError(
                f"{folder.path}: has nothing to time in {' or '.join(precisions or PRECISIONS)} "
                f"(it has {have}); convert it first, or choose another `precision`"
            )
        found += [Configuration(folder, *pair, count) for pair in pairs for count in threads]
    return _told_apart(found)


def _only(precisions: Sequence[Precision] | None) -> Precision | None:
    """What a single file is said to be stored in; None where nothing is said."""
    if precisions is None or tuple(precisions) == ("fp32",):
        return None
    if len(precisions) > 1:
        raise InputError("a single file has one precision; name one `precision`")
    return precisions[0]


def _of_file(file: SingleFile, threads: Sequence[int], note: Note) -> list[Configuration]:
    if file.of_folder is None:
        note(f"{file.path}: no original is known; it is compared with itself on other runtimes")
    return [
        Configuration(
            file.of_folder or file.as_folder(),
            file.artifact,
            backend.name,
            count,
            file=file.path if file.of_folder is None else None,
            witnesses=file.others(backend),
        )
        for backend in file.readers
        for count in threads
    ]


def _told_apart(found: Sequence[Configuration]) -> list[Configuration]:
    """Name the folder where the model's name and size alone would mean two."""
    folders = defaultdict(set)
    for c in found:
        folders[_network(c)].add(c.place)
    return [
        replace(c, name=f"{c.folder.spec.name} ({c.place})") if len(folders[_network(c)]) > 1 else c
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
    runtimes = [get_backend(name) for name in backend_names()]
    usable = [each for each in runtimes if each.available() and each.is_for_use]
    found = (find_step(runtime, kind) for runtime in usable for kind in precisions)
    return list(dict.fromkeys(step for step in found if step is not None))


def _say_what_is_not_there(folder: ArtifactFolder, note: Note) -> None:
    """Name the precisions that installed runtimes could have, and the command that makes them."""
    runtimes = [get_backend(name) for name in backend_names()]
    usable = [each for each in runtimes if each.available() and each.is_for_use]
    wanted = [
        kind
        for kind in _MADE
        if not any(artifact.precision == kind for artifact in folder.artifacts)
        and any(find_step(runtime, kind) for runtime in usable)
    ]
    if wanted:
        options = " ".join(f"--{kind}" for kind in wanted)
        note(
            f"{folder.path} has no {' and no '.join(wanted)}; to time them too: ultraface-deploy "
            f"convert {folder.path} --to all {options} -o {folder.path}"
        )


def _say_what_is_for_devices(
    folder: ArtifactFolder,
    backends: Sequence[str] | None,
    precisions: Sequence[Precision] | None,
    note: Note,
) -> None:
    """Name what only simulators run here, whose milliseconds are nobody's."""
    runtimes = [get_backend(name) for name in backends or backend_names()]
    for artifact in folder.artifacts:
        reading = [each for each in runtimes if each.runs(artifact.format, artifact.precision)]
        wanted = reading and artifact.precision in (precisions or PRECISIONS)
        if wanted and not any(each.times(artifact.format) for each in reading):
            note(f"left out: {artifact.id} is for another device, whose speed nothing here tells")


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
            if (artifact := best(folder, backend, precision)) is not None
            and backend.times(artifact.format)
        ]
        if artifacts and not backend.available():
            note(f"left out: {name} is not installed here")
            continue
        for artifact in artifacts:
            sound_files(folder, artifact, backend)
            yield artifact, name
