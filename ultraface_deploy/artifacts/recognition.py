"""Recognising other people's files: input size, classes and head, from the files themselves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy import models
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.artifacts.source import owning_folder
from ultraface_deploy.backends import Backend, Session, get_backend
from ultraface_deploy.converters import Format, format_and_files, get_format
from ultraface_deploy.errors import BackendError, InputError, ToolFailed, UltraFaceError
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.checkpoint import model_name
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.landmarks import WITH_LANDMARKS
from ultraface_deploy.family.spec import Head, ModelSpec
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import sha256_of
from ultraface_deploy.safe.kinds import MAKE_AGAIN
from ultraface_deploy.safe.limits import Limit

TIMEOUT_S = 45.0
"""For a runtime to load and run a file that nobody has verified: with all else, under a minute."""
_log = logging.getLogger(__name__)


def recognise(
    runtime: Backend,
    record: Format,
    files: Sequence[Path],
    input_size: tuple[int, int] | None = None,
    head: Head | None = None,
    known: Known = NOTHING,
) -> ModelSpec:
    """Find out what a file without manifest holds, by asking and by running it once.

    Runtimes crash on some damaged files, so all of this happens in a child process first; only a
    file that came out of it well is opened here. The models that ship need no child.

    Args:
        runtime: what shall run it.
        record: its format.
        files: the file with its companions.
        input_size: (width, height) where the user knows it.
        head: head where the user knows it.
        known: what else the user knows.

    Raises:
        InputError: the files are damaged, or the input size is not stated and was not given.
        BackendError: the file does not run, or is not a network of this family.
    """
    if _ships(files):
        return _recognise_here(runtime, record, files, input_size, head, known)
    spec, remarks = _recognised_in_child(
        tuple(path.resolve() for path in files),
        tuple(sha256_of(path) for path in files),
        (runtime.name, record.name),
        input_size,
        head,
        None,
        known,
    )
    for remark in remarks:
        _log.warning("%s: %s", files[0], remark)
    return spec


def sound_files(folder: ArtifactFolder, artifact: Artifact, runtime: Backend) -> tuple[Path, ...]:
    """Return an artifact's files: as recorded, and known or now shown to do no harm.

    Whatever loads an artifact in this process takes its files from here.

    Raises:
        InputError: a file is missing, was changed, or reads other files.
        BackendError: nobody has verified them, and the runtime refuses them, crashes or hangs.
    """
    files = folder.intact_files(artifact)
    get_format(artifact.format).check(files)
    if not artifact.verified and not runtime.runs_original:
        prove_harmless(runtime, get_format(artifact.format), files, folder.spec)
    return files


def require_sound(file: Path, files: Sequence[Path], runtime: Backend, spec: ModelSpec) -> None:
    """Refuse a single file that is neither known nor now shown to do no harm in a runtime.

    Args:
        file: as the user named it.
        files: it and its companions.
        runtime: which shall load it in this process.
        spec: what it holds.

    Raises:
        InputError: the files are damaged, or a manifest beside them says otherwise.
        BackendError: the runtime refuses them, crashes or hangs.
    """
    if (folder := owning_folder(file)) is not None:
        artifact = next(each for each in folder.artifacts if file.name in each.files)
        sound_files(folder, artifact, runtime)
    elif not _ships(files):
        record, _ = format_and_files(file)
        prove_harmless(runtime, record, files, spec)


def prove_harmless(
    runtime: Backend, record: Format, files: Sequence[Path], spec: ModelSpec
) -> None:
    """Load files that nobody has verified in a child process, before they are loaded here.

    Raises:
        InputError: the files are damaged or do not belong together.
        BackendError: the runtime refuses them, crashes or hangs.
    """
    digests = tuple(sha256_of(path) for path in files)
    paths = tuple(path.resolve() for path in files)
    _recognised_in_child(paths, digests, (runtime.name, record.name), None, None, spec, NOTHING)


@lru_cache(maxsize=64)
def _recognised_in_child(
    files: tuple[Path, ...],
    digests: tuple[str, ...],
    names: tuple[str, str],
    input_size: tuple[int, int] | None,
    head: Head | None,
    spec: ModelSpec | None,
    known: Known,
) -> tuple[ModelSpec, tuple[str, ...]]:
    """Ask a child process; `digests` tell apart what a path held before and holds now."""
    for path in files:
        Limit.MODEL.check(path)
    runtime, record = names
    get_format(record).check(files)
    arguments = {
        "files": [str(path) for path in files],
        "runtime": runtime,
        "record": record,
        "input_size": input_size,
        "head": head,
        "stated": None if spec is None else spec.to_dict(),
        "known": asdict(known),
    }
    try:
        found = run_in_child(
            "ultraface_deploy.artifacts.recognition:load_in_child",
            arguments,
            what=f"{runtime} on {files[0].name}",
            timeout=TIMEOUT_S,
            memory=Limit.MODEL.bytes,
        )
    except ToolFailed as error:
        raise BackendError(
            f"{files[0]}: {runtime} cannot run it ({error}); {MAKE_AGAIN}"
        ) from error
    if tuple(sha256_of(path) for path in files) != digests:
        raise InputError(f"{files[0]}: was replaced while it was read; try again")
    return ModelSpec.from_dict(found["spec"]), tuple(found["remarks"])


def load_in_child(
    files: list[str],
    runtime: str,
    record: str,
    input_size: tuple[int, int] | None,
    head: Head | None,
    stated: dict[str, Any] | None,
    known: dict[str, Any],
) -> dict[str, Any]:
    """Recognise a file by loading it with the runtime that shall run it."""
    paths, backend = [Path(file) for file in files], get_backend(runtime)
    if stated is not None:
        spec = ModelSpec.from_dict(stated)
    else:
        size = None if input_size is None else (input_size[0], input_size[1])
        spec = _recognise_here(backend, get_format(record), paths, size, head, Known(**known))
    session = backend.load(paths, spec)
    if stated is not None:
        # Some take what they take only when they run.
        session.run(np.zeros(spec.input_shape, np.float32))
    remarks = [] if stated is not None else _remarks(session, spec, Known(**known))
    return {"spec": spec.to_dict(), "remarks": remarks}


def _remarks(session: Session, spec: ModelSpec, known: Known) -> list[str]:
    """What a user must know of how a file was understood."""
    remarks = []
    if session.further:
        remarks.append(f"its further outputs are ignored: {', '.join(session.further)}")
    if spec.landmarks and not known.says_input:
        remarks.append(
            f"gives landmarks; like all such networks it is taken to read {spec.color} minus "
            f"{spec.mean}; `mean`, `std` and `color` say otherwise"
        )
    return remarks


def stated_size(runtime: Backend, files: Sequence[Path]) -> tuple[int, int] | None:
    """Return (width, height) that the files state, or that only their runtime can tell."""
    record, _ = format_and_files(files[0])
    return record.input_size(files) or runtime.input_size(files)


def _ships(files: Sequence[Path]) -> bool:
    if len(files) != 1 or files[0].suffix != ".onnx":
        return False
    return models.ships(sha256_of(files[0]))


def _recognise_here(
    backend: Backend,
    record: Format,
    files: Sequence[Path],
    input_size: tuple[int, int] | None,
    head: Head | None,
    known: Known,
) -> ModelSpec:
    stated, size = _stated(backend, record, files)
    if size is not None and size[0] in (1, 3):
        raise InputError(
            f"{files[0]}: reads pictures with the colours last (NHWC); "
            "export it with (1, 3, height, width)"
        )
    if size is not None and input_size not in (None, size):
        raise InputError(
            f"{files[0]}: is fixed at {size[0]}x{size[1]}; leave out `input_size`, or convert the "
            "file to another size first"
        )
    if stated is not None:
        if known.says_input and known.of(stated) != stated:
            raise InputError(
                f"{files[0]}: states itself what it reads; leave out `mean`, `std` and `color`"
            )
        return stated
    size = size or input_size
    if size is None:
        raise InputError(f"{files[0]}: does not state its input size; give `input_size` 320x240")
    gray = known.color is None and record.channels(files) == 1
    known = replace(known, color="gray") if gray else known
    session = _loaded_as_any(
        backend, files, ModelSpec(model_name(files[0]), "unknown", *size), known
    )
    spec = session.spec
    if not known.ignore_outputs:
        _require_nothing_more(session, files)
    gray_picture = np.zeros(spec.input_shape, np.float32)
    boxes = session.run(gray_picture)["boxes"][0]
    if session.ends_at_maps:
        return replace(spec, head="conv")
    return replace(spec, head=head or head_of(boxes, spec))


def _stated(
    backend: Backend, record: Format, files: Sequence[Path]
) -> tuple[ModelSpec | None, tuple[int, int] | None]:
    """Return what the files say of their network, and its (width, height), where they do."""
    try:
        stated = record.stated_spec(files)
        return stated, record.input_size(files) or backend.input_size(files)
    except UltraFaceError:
        raise
    except Exception as error:  # every runtime raises its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BackendError(
            f"{files[0]}: {backend.name} cannot read it ({reason}); it is damaged or "
            "no detector: get it again, or convert again"
        ) from error


def _require_nothing_more(session: Session, files: Sequence[Path]) -> None:
    """Refuse a network that gives more for each anchor than its faces."""
    unknown = {
        name: shape for name, shape in session.further.items() if session.spec.num_anchors in shape
    }
    if unknown:
        shown = ", ".join(f"{name} {shape}" for name, shape in unknown.items())
        raise InputError(
            f"{files[0]}: gives more for each anchor than scores and boxes ({shown}), so it is "
            "another network, which may read another input; give `ignore_outputs` to run it "
            "without, and `mean`, `std` and `color` for what it reads"
        )


def _loaded_as_any(
    backend: Backend, files: Sequence[Path], spec: ModelSpec, known: Known
) -> Session:
    """Load a file as the member of the family whose outputs it has."""
    first, *others = (
        known.of(replace(spec, num_classes=classes, **extra))
        for extra in (WITH_LANDMARKS, {})
        for classes in (2, 3, 4, 5)
    )
    return backend.load(files, first, alternatives=others)


def head_of(boxes: np.ndarray, spec: ModelSpec) -> Head:
    """Tell corners from offsets: corners are boxes around their anchors, offsets are not.

    Args:
        boxes: (N, 4) float32 of one run.
        spec: the network, for its anchors.
    """
    anchors = make_anchors(spec)
    sizes = boxes[:, 2:] - boxes[:, :2]
    near = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - anchors[:, :2]) < 2 * anchors[:, 2:]
    return "decoded" if (sizes > 0).all() and near.mean() > 0.9 else "raw"


def spec_of_file(path: Path, name: str | None = None, known: Known = NOTHING) -> ModelSpec:
    """Return the spec of a file that can be converted from: the stated one, or by running it.

    Raises:
        InputError: the file is damaged, or lacks its companion.
        BackendError: it is not a network of this family.
    """
    from ultraface_deploy.artifacts.choose import installed
    from ultraface_deploy.converters.onnx.metadata import architecture_of

    record, files = format_and_files(path)
    assert record.adopt is not None
    model = record.adopt(files)
    spec = recognise(installed(record.name), record, files, known=known)
    if spec.architecture == "unknown":
        spec = replace(spec, architecture=architecture_of(model))
    return spec if name is None else replace(spec, name=name)
