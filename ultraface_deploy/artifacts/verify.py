"""Comparing the artifacts of a folder with the original network."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ultraface_deploy.agreement.comparison import (
    Comparison,
    LoadedArtifact,
    Recording,
    Reference,
    compare_with_original,
    failed,
)
from ultraface_deploy.artifacts.choose import runtimes_of
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.artifacts.recognition import TIMEOUT_S, require_sound, sound_files
from ultraface_deploy.artifacts.single import SingleFile
from ultraface_deploy.backends import Backend, get_backend
from ultraface_deploy.converters import get_format, target_names
from ultraface_deploy.errors import CheckFailed, InputError, UltraFaceError
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.images import Image, embedded_images
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import counted

_log = logging.getLogger(__name__)
# More faces in a photograph than any of those that ship shows.
_CROWD = 50


def open_reference(folder: ArtifactFolder) -> Reference:
    """Open the original network of a folder: in torch, or in ONNX Runtime where torch is missing.

    Raises:
        InputError: the folder holds neither, or the file was changed.
    """
    torch = get_backend("torch")
    if folder.has("torch") and torch.available():
        files = folder.intact_files(folder.find("torch"))
        return Reference("torch", torch.load(files, folder.spec))
    if folder.has("onnx"):
        runtime = get_backend("onnxruntime")
        files = sound_files(folder, folder.find("onnx"), runtime)
        return Reference("onnx", runtime.load(files, folder.spec))
    raise InputError(
        f"{folder.path}: holds no original network to compare with; "
        f"convert again from the checkpoint or the ONNX file"
    )


def verify_artifact(
    spec: ModelSpec,
    artifact: Artifact,
    files: Sequence[Path],
    backend: Backend,
    reference: Reference,
    images: Iterable[Image],
) -> Comparison:
    """Compare one artifact on one backend with the original network; a failure is a result."""
    candidate = _load_candidate(spec, artifact, files, backend, reference)
    if isinstance(candidate, Comparison):
        return candidate
    return compare_with_original(reference, [candidate], images)[0]


def verify_folder(
    folder: ArtifactFolder,
    images: Iterable[Image],
    backends: Sequence[str] | None = None,
) -> list[Comparison]:
    """Compare every artifact of a folder on every installed backend that reads it.

    Args:
        folder: the artifacts.
        images: photographs (H, W, 3) uint8 BGR, read one at a time.
        backends: names to restrict to.

    Returns:
        One comparison an artifact and backend. An artifact that nothing installed runs is only
        looked at: one with the backend `none` where its files were changed, otherwise a warning.

    Raises:
        InputError: there is nothing to compare, or nothing to compare with.
    """
    reference = open_reference(folder)
    others = [artifact for artifact in folder.artifacts if artifact.id != reference.name]
    with TemporaryDirectory(prefix="ultraface-deploy-") as scratch:
        loaded = [
            _load_checked(folder, artifact, backend, reference, Path(scratch, "reference.npz"))
            # The original alone is compared with itself, on every runtime.
            for artifact in others or folder.artifacts
            for backend in runtimes_of(artifact.format, artifact.precision)
            if (not backends or backend.name in backends) and backend.available()
        ]
    if not backends:
        loaded.extend(_changed_unseen(folder, others, reference))
    if not loaded:
        raise InputError(f"{folder.path}: nothing to verify with {_none_with(folder, backends)}")
    runnable = [item for item in loaded if isinstance(item, LoadedArtifact)]
    compared = iter(compare_with_original(reference, runnable, images))
    return [item if isinstance(item, Comparison) else next(compared) for item in loaded]


def _changed_unseen(
    folder: ArtifactFolder, artifacts: Sequence[Artifact], reference: Reference
) -> Iterator[Comparison]:
    """Yield a failure for each changed artifact that nothing here runs; warn of the others."""
    for artifact in artifacts:
        runtimes = runtimes_of(artifact.format, artifact.precision)
        if any(runtime.available() for runtime in runtimes):
            continue
        if problem := folder.check_files(artifact):
            yield failed(artifact.id, "none", reference, problem)
            continue
        names = " or ".join(runtime.name for runtime in runtimes)
        needed = f"{names} is not installed here" if names else "no runtime known here reads it"
        _log.warning("%s: not compared: %s; its files are as recorded", artifact.id, needed)


def _none_with(folder: ArtifactFolder, backends: Sequence[str] | None) -> str:
    """Name the runtimes that were asked for, and what to convert to for them."""
    if not backends:
        return "what is installed; see: ultraface-deploy doctor"
    formats = dict.fromkeys(each for name in backends for each in get_backend(name).formats)
    there = {artifact.format for artifact in folder.artifacts}
    missing = [name for name in formats if name in target_names() and name not in there]
    hint = f"; convert to {' or '.join(missing)} first" if missing else ""
    return ", ".join(backends) + hint


def verify_file(
    file: Path,
    images: Iterable[Image],
    backends: Sequence[str] | None = None,
    known: Known = NOTHING,
    input_size: tuple[int, int] | None = None,
) -> list[Comparison]:
    """Compare a single file, whoever made it, with itself on every installed runtime.

    There is no original to compare with; that several runtimes find the same faces says that the
    file is sound and how it is to be read, not what it was made from.

    Args:
        file: a file of any format that runs here.
        images: photographs (H, W, 3) uint8 BGR.
        backends: names to restrict to.
        known: what the user knows of the file: its normalisation, outputs to ignore.
        input_size: (width, height) where the file does not state it.

    Returns:
        One comparison with the first runtime for each, that one included.

    Raises:
        InputError: no file of a known format, or not a network of this family.
        BackendError: the first runtime cannot run it.
    """
    found = SingleFile.open(file, backends or None, input_size=input_size, known=known)
    files, spec, first = found.files, found.spec, found.readers[0]
    session = first.load(files, spec, precision=found.artifact.precision)
    reference = Reference(f"itself on {first.name}", session)
    candidates = [
        _load_candidate(spec, found.artifact, files, backend, reference)
        if backend is first or (problem := _harm(file, files, backend, spec)) is None
        else failed(found.artifact.id, backend.name, reference, problem)
        for backend in found.readers
    ]
    runnable = [item for item in candidates if isinstance(item, LoadedArtifact)]
    compared = iter(compare_with_original(reference, runnable, images))
    return [item if isinstance(item, Comparison) else next(compared) for item in candidates]


def _harm(file: Path, files: Sequence[Path], backend: Backend, spec: ModelSpec) -> str | None:
    """Say what a runtime that was not asked yet has against a single file."""
    try:
        require_sound(file, files, backend, spec)
    except UltraFaceError as error:
        return str(error)
    return None


def _load_checked(
    folder: ArtifactFolder,
    artifact: Artifact,
    backend: Backend,
    reference: Reference,
    recording: Path,
) -> LoadedArtifact | Comparison:
    """Load an artifact that was verified and is as recorded; measure others in a child.

    The child is given what the original computes: loading that there costs more than all else.
    """
    problem, files = folder.check_files(artifact), folder.files(artifact)
    try:
        get_format(artifact.format).check(files)
        if problem is None and artifact.verified:
            return _load_candidate(folder.spec, artifact, files, backend, reference)
        # A damaged file can crash a runtime; and the user wants to know how far off it is.
        if not recording.is_file():
            Recording.make(reference, embedded_images()).save(recording)
        found = run_in_child(
            "ultraface_deploy.artifacts.verify:measure",
            {
                "folder": str(folder.path.resolve()),
                "artifact": artifact.id,
                "backend": backend.name,
                "reference": reference.name,
                "recording": str(recording.resolve()),
            },
            what=f"{backend.name} run",
            timeout=TIMEOUT_S,
            memory=Limit.MODEL.bytes,
        )
        measured = Comparison(**found)
    except UltraFaceError as error:
        measured = failed(artifact.id, backend.name, reference, str(error))
    if problem is None:
        return measured
    consequence = measured.reason or "it still computes the same"
    return replace(measured, passed=False, reason=f"{problem}: {consequence}")


def measure(
    folder: str, artifact: str, backend: str, reference: str, recording: str
) -> dict[str, Any]:
    """Compare one artifact, whatever its files are, with the reference on the shipped photos."""
    opened = ArtifactFolder.open(folder)
    found = opened.get(artifact)
    original = Reference(reference, Recording.load(Path(recording), opened.spec))
    return verify_artifact(
        opened.spec, found, opened.files(found), get_backend(backend), original, embedded_images()
    ).to_dict()


def _load_candidate(
    spec: ModelSpec,
    artifact: Artifact,
    files: Sequence[Path],
    backend: Backend,
    reference: Reference,
) -> LoadedArtifact | Comparison:
    try:
        session = backend.load(
            files, spec, precision=artifact.precision, halves=artifact.passed_in_halves
        )
    except UltraFaceError as error:
        return failed(artifact.id, backend.name, reference, str(error))
    tolerance = backend.tolerance(artifact.precision, spec)
    return LoadedArtifact(
        artifact.id,
        backend.name,
        session,
        tolerance,
        session.halves,
        backend.arena_kib(files),
        backend.shows(artifact.format),
    )


def require_passed(comparison: Comparison) -> None:
    """Refuse an artifact that is not the network it was made from.

    Raises:
        CheckFailed: says which artifact, on which backend, and how far off.
    """
    if not comparison.passed:
        raise CheckFailed(
            f"{comparison.artifact} on {comparison.backend} is not the original network: "
            f"{comparison.reason}{_hint(comparison)}"
        )


def _hint(comparison: Comparison) -> str:
    """Say so where the network finds faces everywhere, among which any rounding decides."""
    found, images = comparison.reference_detections, max(comparison.images, 1)
    if found / images < _CROWD:
        return ""
    return f"; the original finds {found} faces in {counted(images, 'picture')}: is it trained?"
