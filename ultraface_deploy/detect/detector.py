"""From an image to faces, on any backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.choose import (
    find_files,
    installed,
    passed_in_halves,
    precision_of,
)
from ultraface_deploy.backends import Backend, Outputs, Session, get_backend
from ultraface_deploy.converters import model_file
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.known import NOTHING, Known
from ultraface_deploy.family.spec import Head, ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, postprocess
from ultraface_deploy.pipeline.view import Rectangle, View, merge, network_input
from ultraface_deploy.safe.images import Image, as_bgr
from ultraface_deploy.safe.reduced import Reduction


class _Input(threading.local):
    """The tensor of a thread, which each picture overwrites."""

    def __init__(self, spec: ModelSpec) -> None:
        self.tensor = np.empty(spec.input_shape, np.float32)


class Detector:
    """A loaded network with its pre- and postprocessing.

    Threads may share one and then wait for each other; to run at once, open one per thread.
    """

    def __init__(
        self,
        session: Session,
        backend: Backend,
        options: PostprocessOptions | None = None,
        view: View | None = None,
        precision: Precision | None = None,
        files: tuple[Path, ...] = (),
    ) -> None:
        self._session: Session | None = session
        self.backend = backend
        self.options = options or PostprocessOptions()
        self.view = view or View()
        self.precision = precision
        """Of the artifact; None where whoever made the detector does not say."""
        self._input = _Input(session.spec)
        self.files = files
        """What the network was loaded from, in the runtime's order."""

    @property
    def session(self) -> Session:
        """The loaded network.

        Raises:
            InputError: the detector is closed.
        """
        if self._session is None:
            raise InputError("the detector is closed; open it again")
        return self._session

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
        view: View | None = None,
        known: Known = NOTHING,
    ) -> Detector:
        """Open an artifact folder, a single artifact (our own or not), or an embedded model.

        Args:
            model: a folder with a manifest; a `.onnx`, `.mnn`, `.param`, `.prototxt` or `.pth`
                file; or the name of an embedded model.
            backend: runtime; None for the first installed one that reads what is there.
            precision: which of a folder's artifacts; of a file that does not say it, how it is
                stored.
            threads: threads of one inference. OpenCV has one pool for the whole process, which
                keeps this size.
            options: thresholds and NMS kind.
            input_size: (width, height), for foreign files that do not state it.
            head: for foreign files, where the guess from one run is wrong.
            view: what of an image is looked at (aspect ratio, tiles, region) and what is kept.
            known: of foreign files that do not state it: normalisation, outputs to ignore.

        Raises:
            InputError: no such model, or not in this format or precision.
            MissingDependency: the runtime is not installed.
            BackendError: the runtime cannot run the file.
        """
        model = model_file(Path(model))
        runtime, files, spec = find_files(model, backend, precision, input_size, head, known)
        if input_size not in (None, (spec.width, spec.height)):
            assert input_size is not None
            raise InputError(
                f"{model}: is made for {spec.width}x{spec.height}; convert it again with "
                f"`input_size` {input_size[0]}x{input_size[1]}"
            )
        if model.is_file():
            precision = precision_of(files[0], precision)
        halves = passed_in_halves(files[0])
        session = runtime.load(files, spec, threads, precision, halves)
        return cls(session, runtime, options, view, precision, files)

    def __repr__(self) -> str:
        if self._session is None:
            return "<Detector, closed>"
        spec = self.spec
        runs = f"{self.backend.name} {self.precision}" if self.precision else self.backend.name
        return f"<Detector {spec.name} {spec.width}x{spec.height}, {runs}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Detector holds a runtime's memory and cannot be copied or sent to another process; "
            "open one there from the same file"
        )

    def detect(
        self, image: npt.NDArray[Any], reduction: Reduction | None = None, pixel: float = 1.0
    ) -> Faces:
        """Find the faces of one image.

        Args:
            image: (H, W, 3) uint8 BGR; grayscale, BGRA and 16-bit images are brought to that.
            reduction: where the image is a picture decoded smaller, how it lies in the whole one.
                The view must look at all of it.
            pixel: how many times as wide as high a pixel of the image is shown, as in videos for
                a television; where the view keeps the aspect, that is what it keeps.

        Returns:
            Faces in pixels of the image, or of the whole picture, best first.

        Raises:
            InputError: it is not an image, the view's region does not lie within it, or the
                detector is closed.
            BackendError: the runtime failed, or its threads stayed behind in a forked process.
        """
        bgr = as_bgr(image)
        if reduction is not None:
            faces = self._look(bgr, reduction.factor).moved(-reduction.left, -reduction.top)
            return self.view.keep(faces, reduction.width, reduction.height)
        height, width = bgr.shape[:2]
        parts = self.view.parts(width, height, self.spec)
        found = [
            self._look(bgr[y : y + high, x : x + wide], pixel=pixel) for x, y, wide, high in parts
        ]
        return self._put_together(found, parts, width, height)

    def _put_together(
        self, found: Sequence[Faces], parts: Sequence[Rectangle], width: int, height: int
    ) -> Faces:
        """Return the faces of an image of that size from those of its parts."""
        if len(parts) > 1:
            faces = merge(found, parts, self.options, self.options.threshold(self.spec))
        else:
            faces = found[0].moved(*parts[0][:2])
        return self.view.keep(faces, width, height)

    def _look(self, bgr: Image, factor: int = 1, pixel: float = 1.0) -> Faces:
        """Run the network once on an image or a part of one, of which a pixel is so many wide."""
        tensor, (width, height) = network_input(
            bgr, self.spec, self.view.keep_aspect, self._input.tensor, pixel
        )
        return self._faces(self.session.run(tensor), (width * factor, height * factor))

    def _faces(self, outputs: Outputs, extent: tuple[float, float]) -> Faces:
        return postprocess(
            outputs["scores"],
            outputs["boxes"],
            self.spec,
            extent,
            self.options,
            outputs.get("landmarks"),
        )

    def detect_batch(self, images: Sequence[npt.NDArray[Any]], size: int = 16) -> list[Faces]:
        """Find the faces of several images, several at a time where the network takes them.

        ONNX Runtime and torch do; for that `convert --to onnx --batch dynamic` makes the file.
        Networks of another fixed number, other people's too, are given that many at a time. On all
        other runtimes, and with networks that take a single input, this is a loop: no faster than
        `detect`, with the same faces.

        Args:
            images: as for `detect`; they may differ in size.
            size: how many inputs are held in memory at once; tiles count each.

        Returns:
            The faces of each image, as `detect` returns them.

        Raises:
            InputError: one is not an image, the view's region does not lie within it, or the
                detector is closed.
            BackendError: the runtime failed, or its threads stayed behind in a forked process.
        """
        if size < 1:
            raise InputError(f"size={size}: give at least one input at a time")
        pictures = [as_bgr(image) for image in _several(images)]
        extents = [(picture.shape[1], picture.shape[0]) for picture in pictures]
        parts = [self.view.parts(*extent, self.spec) for extent in extents]
        looks = [
            picture[y : y + high, x : x + wide]
            for picture, own in zip(pictures, parts, strict=True)
            for x, y, wide, high in own
        ]
        found = [
            faces
            for at in range(0, len(looks), size)
            for faces in self._look_at_several(looks[at : at + size])
        ]
        each = iter(found)
        return [
            self._put_together([next(each) for _ in own], own, *extent)
            for own, extent in zip(parts, extents, strict=True)
        ]

    def _look_at_several(self, looks: Sequence[Image]) -> list[Faces]:
        inputs = [network_input(look, self.spec, self.view.keep_aspect) for look in looks]
        outputs = self.session.run_batch(np.concatenate([tensor for tensor, _ in inputs]))
        return [
            self._faces({name: value[at : at + 1] for name, value in outputs.items()}, extent)
            for at, (_, extent) in enumerate(inputs)
        ]

    def detect_many(self, images: Iterable[npt.NDArray[Any]]) -> Iterator[Faces]:
        """Find the faces of many images, one at a time: memory does not grow with their number."""
        return map(self.detect, _several(images))

    def close(self) -> None:
        """Let go of the runtime's memory; a second time does nothing."""
        self._session = None

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _several(images: Iterable[npt.NDArray[Any]]) -> Iterable[npt.NDArray[Any]]:
    """Refuse a single image, whose lines would be taken for images."""
    if isinstance(images, np.ndarray) and (
        images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
    ):
        raise InputError(f"an array of shape {images.shape} is one image; give a list of them")
    return images


def open_detector(
    model: str = models.DEFAULT_MODEL,
    backend: str | None = None,
    precision: Precision = "fp32",
    threads: int = 1,
    options: PostprocessOptions | None = None,
    input_size: tuple[int, int] | None = None,
    report: Callable[[str], None] = lambda message: None,
    view: View | None = None,
    known: Known = NOTHING,
) -> Detector:
    """Open a detector as `Detector.open` does; an embedded model is converted first if missing.

    The embedded ONNX file itself serves the runtimes that read ONNX at its own size.
    """
    entry = models.registry().get(model)
    if entry is not None and entry.embedded and not Path(model).exists():
        known.refuse_for(model)
        runtime = installed("onnx") if backend is None else get_backend(backend)
        runtime.require()
        own_size = input_size in (None, (entry.width, entry.height))
        if not (own_size and precision == "fp32" and {"onnx", "torch"} & set(runtime.formats)):
            from ultraface_deploy.artifacts.ensure import ensure
            from ultraface_deploy.artifacts.plan import step_for

            step = step_for(runtime, precision)
            model = str(ensure(model, [step], input_size, report).path)
            input_size = None
    return Detector.open(
        model, backend, precision, threads, options, input_size, view=view, known=known
    )
