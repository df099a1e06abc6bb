"""Which artifact a runtime runs: one answer for verify, bench, eval, detect and convert."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision, parse_precision
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.artifacts.recognition import recognise, sound_files
from ultraface_deploy.artifacts.source import owning_folder
from ultraface_deploy.backends import Backend, backend_names, get_backend
from ultraface_deploy.converters import Format, format_and_files, model_file
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.sizes import at_size
from ultraface_deploy.family.spec import Head, ModelSpec


def runtimes_of(format: str, precision: Precision = "fp32") -> list[Backend]:
    """Return the backends that run artifacts of a format in a precision, installed or not."""
    found = (get_backend(name) for name in backend_names())
    return [backend for backend in found if backend.runs(format, precision)]


def not_read(runtime: Backend, given: str, able: Iterable[Backend]) -> str:
    """Return what is wrong with a runtime for a format or file, and which ones are for it."""
    others = " or ".join(each.name for each in able) or "another format"
    reads = ", ".join(runtime.formats)
    return f"backend {runtime.name} reads {reads}, not {given}; choose {others}"


def installed(format: str, precision: Precision = "fp32") -> Backend:
    """Return the first installed backend that runs artifacts of a format in a precision.

    Raises:
        MissingDependency: there is none; says what to install.
    """
    known = runtimes_of(format, precision)
    for backend in known:
        if backend.available():
            return backend
    if known:
        known[0].require()
    raise MissingDependency(
        f"no backend reads {format} in {precision}; install the plug-in that brings one"
    )


def best(folder: ArtifactFolder, backend: Backend, precision: Precision) -> Artifact | None:
    """Return the artifact of a precision in the format that the backend runs best."""
    for format in backend.formats:
        if backend.runs(format, precision) and folder.has(format, precision):
            return folder.find(format, precision)
    return None


def choose_artifact(
    folder: ArtifactFolder, backend: str | None, precision: Precision
) -> tuple[Backend, Artifact]:
    """Return the backend, and the artifact of a folder that it runs best.

    Args:
        folder: the artifacts.
        backend: its name; None for the first installed one that runs something, the original
            network aside.
        precision: of the artifact.

    Raises:
        InputError: the folder has nothing for it.
        MissingDependency: no backend that reads what is there is installed.
    """
    for name in [backend] if backend else backend_names():
        runtime = get_backend(name)
        usable = backend is not None or (runtime.is_for_use and runtime.available())
        if usable and (artifact := best(folder, runtime, precision)) is not None:
            runtime.require()
            return runtime, artifact
    have = ", ".join(artifact.id for artifact in folder.artifacts) or "nothing"
    # Imported late: on a board without the converters this only costs time.
    from ultraface_deploy.artifacts.plan import step_for

    target = step_for(get_backend(backend), precision).format if backend else "all"
    raise InputError(
        f"{folder.path}: has no {precision} artifact for {backend or 'any installed backend'} "
        f"(it has {have}); make it with: ultraface-deploy convert {folder.path} --to {target} "
        f"{'' if precision == 'fp32' else '--' + precision + ' '}-o {folder.path}"
    )


def find_files(
    model: Path,
    backend: str | None,
    precision: Precision,
    input_size: tuple[int, int] | None,
    head: Head | None,
    known: Known = NOTHING,
) -> tuple[Backend, tuple[Path, ...], ModelSpec]:
    """Return what a MODEL argument means to a runtime: the files in its order, and the spec.

    Raises:
        InputError: no such model, or not in this format or precision.
        MissingDependency: the runtime is not installed.
        BackendError: the runtime cannot run the file.
    """
    parse_precision(precision)
    model = model_file(model)
    if model.is_dir():
        folder = ArtifactFolder.open(model)
        known.refuse_for(model)
        runtime, artifact = choose_artifact(folder, backend, precision)
        return runtime, sound_files(folder, artifact, runtime), folder.spec
    if not model.exists() and (entry := models.registry().get(str(model))):
        model = _file_of(entry, _runs_original(backend))
    if not model.exists() and not model.suffix:
        models.find(str(model), or_file=True)
    models.require_model(model)
    record, files = format_and_files(model)
    runtime = _reader_of(record.name, backend)
    spec = _spec_of_file(model, record, files, runtime, input_size, head, known)
    return runtime, files, spec


def precision_of(file: Path, wanted: Precision | None = None) -> Precision:
    """Return how a single file is stored: as the manifest beside it says, else as it shows.

    Args:
        file: of a known format, with its companions.
        wanted: what the user says of it; of a file that shows floats or nothing, it is believed.

    Raises:
        InputError: the file is damaged, or the user says what it is not.
    """
    record, files = format_and_files(file)
    folder = owning_folder(file)
    if folder is not None:
        stored = next(each.precision for each in folder.artifacts if file.name in each.files)
    else:
        stored = record.stored_precision(files)
    # FP32 is the default of every `precision`, and so says nothing.
    if wanted in (None, "fp32", stored):
        return stored
    if folder is not None or stored != "fp32":
        raise InputError(f"{file}: is stored in {stored}; leave out `precision` {wanted}")
    return wanted


def passed_in_halves(file: Path) -> bool:
    """Whether the manifest beside a file says that it passed with half floats; see `Artifact`."""
    if (folder := owning_folder(file)) is None:
        return False
    return any(each.passed_in_halves for each in folder.artifacts if file.name in each.files)


def _file_of(entry: models.RegistryEntry, original: bool) -> Path:
    """Return what is run of a model of the registry: its checkpoint, or the export that ships."""
    if original:
        from ultraface_deploy.models.pull import checkpoint_of

        return checkpoint_of(entry)
    if entry.onnx is None:
        raise InputError(
            f"model {entry.name}: torch alone runs it as it is; make its folder with: "
            f"ultraface-deploy convert {entry.name} --to all, and give that"
        )
    return models.FOLDER / entry.onnx


def _runs_original(backend: str | None) -> bool:
    return backend is not None and get_backend(backend).runs_original


def _spec_of_file(
    model: Path,
    record: Format,
    files: tuple[Path, ...],
    runtime: Backend,
    input_size: tuple[int, int] | None,
    head: Head | None,
    known: Known,
) -> ModelSpec:
    if (folder := owning_folder(model)) is not None:
        known.refuse_for(model)
        artifact = next(each for each in folder.artifacts if model.name in each.files)
        if not runtime.runs(artifact.format, artifact.precision):
            raise InputError(
                f"{model}: {runtime.name} does not run {artifact.precision}; choose another"
            )
        sound_files(folder, artifact, runtime)
        return folder.spec
    if runtime.runs_original:
        from ultraface_deploy.family.checkpoint import load_checkpoint

        spec = load_checkpoint(model, size_known=input_size is not None).spec
        spec = spec if input_size is None else at_size(spec, *input_size)
        return known.of(spec if head is None else replace(spec, head=head))
    return recognise(runtime, record, files, input_size, head, known)


def _reader_of(format: str, backend: str | None) -> Backend:
    if backend is None:
        return installed(format)
    runtime = get_backend(backend)
    if format not in runtime.formats:
        raise InputError(not_read(runtime, format, runtimes_of(format)))
    runtime.require()
    return runtime
