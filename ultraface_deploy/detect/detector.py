"""From an image to faces, on any backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy.typing as npt

from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.folder import Artifact, ArtifactFolder
from ultraface_deploy.artifacts.recognition import format_and_files, prove_harmless, recognise
from ultraface_deploy.artifacts.source import owning_folder
from ultraface_deploy.backends import Backend, Session, backend_names, get_backend
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import Head, ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, as_bgr, postprocess, preprocess
from ultraface_deploy.safe.files import require_file


class Detector:
    """A loaded network with its pre- and postprocessing.

    Threads may share one and then wait for each other; to run at once, open one per thread.
    """

    def __init__(
        self, session: Session, backend: Backend, options: PostprocessOptions | None = None
    ) -> None:
        self.session = session
        self.backend = backend
        self.options = options or PostprocessOptions()

    @property
    def spec(self) -> ModelSpec:
        """What the network is."""
        return self.session.spec

    @classmethod
    def open(
        cls,
        model: str | Path = models.DEFAULT_MODEL,
        backend: str | None = None,
        precision: Precision = "fp32",
        threads: int = 1,
        options: PostprocessOptions | None = None,
        input_size: tuple[int, int] | None = None,
        head: Head | None = None,
    ) -> Detector:
        """Open an artifact folder, a single artifact (our own or not), or an embedded model.

        Args:
            model: a folder with a manifest; a `.onnx`, `.mnn`, `.param`, `.prototxt` or `.pth`
                file; or the name of an embedded model.
            backend: runtime; None for the first installed one that reads what is there.
            precision: which of a folder's artifacts.
            threads: threads of one inference.
            options: thresholds and NMS kind.
            input_size: (width, height), for foreign files that do not state it.
            head: for foreign files, where the guess from one run is wrong.

        Raises:
            InputError: no such model, or not in this format or precision.
            MissingDependency: the runtime is not installed.
            BackendError: the runtime cannot run the file.
        """
        runtime, files, spec = find_files(Path(model), backend, precision, input_size, head)
        return cls(runtime.load(files, spec, threads, precision), runtime, options)

    def detect(self, image: npt.NDArray[Any]) -> Faces:
        """Find the faces of one image.

        Args:
            image: (H, W, 3) uint8 BGR; grayscale, BGRA and 16-bit images are brought to that.

        Returns:
            Faces in pixels of the image, best first.

        Raises:
            InputError: the array is not an image.
        """
        bgr = as_bgr(image)
        outputs = self.session.run(preprocess(bgr, self.spec))
        height, width = bgr.shape[:2]
        return postprocess(
            outputs["scores"], outputs["boxes"], self.spec, (width, height), self.options
        )

    def detect_many(self, images: Iterable[npt.NDArray[Any]]) -> Iterator[Faces]:
        """Find the faces of many images, one at a time: memory does not grow with their number."""
        return map(self.detect, images)

    def close(self) -> None:
        """Let go of the runtime's memory."""
        del self.session

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def find_files(
    model: Path,
    backend: str | None,
    precision: Precision,
    input_size: tuple[int, int] | None,
    head: Head | None,
) -> tuple[Backend, tuple[Path, ...], ModelSpec]:
    """Return what `Detector.open` loads: the runtime, the files in its order, and the spec."""
    if model.is_dir():
        folder = ArtifactFolder.open(model)
        runtime, artifact = choose_artifact(folder, backend, precision)
        return runtime, _sound_files(folder, artifact, runtime), folder.spec
    if not model.exists() and (entry := models.registry().get(str(model))) and entry.embedded:
        model = models.FOLDER / str(entry.file if backend == "torch" else entry.onnx)
    require_file(model, "model")
    format, files = format_and_files(model)
    runtime = _reader_of(format, backend)
    spec = _spec_of_file(model, format, files, runtime, input_size, head)
    return runtime, files, spec


def _sound_files(folder: ArtifactFolder, artifact: Artifact, runtime: Backend) -> tuple[Path, ...]:
    """Return an artifact's files: as recorded, and known or now shown to do no harm."""
    files = folder.intact_files(artifact)
    if not artifact.verified and artifact.format != "torch":
        prove_harmless(runtime, files, folder.spec)
    return files


def _spec_of_file(
    model: Path,
    format: str,
    files: tuple[Path, ...],
    runtime: Backend,
    input_size: tuple[int, int] | None,
    head: Head | None,
) -> ModelSpec:
    if (folder := owning_folder(model)) is not None:
        artifact = next(each for each in folder.artifacts if model.name in each.files)
        _sound_files(folder, artifact, runtime)
        return folder.spec
    if format == "torch":
        from ultraface_deploy.family.checkpoint import load_checkpoint

        spec = load_checkpoint(model).spec
        spec = spec if input_size is None else spec.resized(*input_size)
        return spec if head is None else replace(spec, head=head)
    # Only ONNX Runtime, which the base install has, reads an ONNX file's size and metadata.
    reader = get_backend("onnxruntime") if format == "onnx" else runtime
    return recognise(reader, files, input_size, head, runtime)


def choose_artifact(
    folder: ArtifactFolder, backend: str | None, precision: Precision
) -> tuple[Backend, Artifact]:
    """Return the backend, and the artifact of a folder that it runs best.

    Raises:
        InputError: the folder has nothing for it.
        MissingDependency: no backend that reads what is there is installed.
    """
    names = [backend] if backend else [name for name in backend_names() if name != "torch"]
    for name in names:
        runtime = get_backend(name)
        if backend or runtime.available():
            for format in runtime.formats:
                if folder.has(format, precision):
                    runtime.require()
                    return runtime, folder.find(format, precision)
    have = ", ".join(artifact.id for artifact in folder.artifacts) or "nothing"
    # Imported late: on a board without the converters this only costs time.
    from ultraface_deploy.artifacts.convert import step_for

    target = step_for(get_backend(backend), precision).format if backend else "all"
    raise InputError(
        f"{folder.path}: has no {precision} artifact for {backend or 'any installed backend'} "
        f"(it has {have}); make it with: ultraface-deploy convert {folder.path} --to {target} "
        f"{'' if precision == 'fp32' else '--' + precision + ' '}-o {folder.path}"
    )


def _reader_of(format: str, backend: str | None) -> Backend:
    if backend is not None:
        runtime = get_backend(backend)
        if format not in runtime.formats:
            raise InputError(
                f"--backend {backend} reads {', '.join(runtime.formats)}, not {format}"
            )
        runtime.require()
        return runtime
    readers = [get_backend(name) for name in backend_names()]
    readers = [reader for reader in readers if format in reader.formats]
    for reader in readers:
        if reader.available():
            return reader
    if not readers:
        raise MissingDependency(f"no backend reads {format}")
    readers[0].require()
    raise AssertionError("unreachable")
