"""Outputs recorded once, for every timing child or emulated core to be compared with."""

# Tested by tests/bench/test_run.py.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.agreement.comparison import (
    Comparison,
    LoadedArtifact,
    Reference,
    Runnable,
    compare_with_original,
)
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.verify import open_reference
from ultraface_deploy.backends import Session, get_backend
from ultraface_deploy.backends.base import Tensor
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import Image, embedded_images, read_image
from ultraface_deploy.safe.opencv import cv2


def record(
    folder: str,
    images: Sequence[str],
    target: str,
    artifact: str | None = None,
    backend: str | None = None,
) -> None:
    """Run the original network of a folder, or an artifact of it, on photographs.

    Runs in a child process, because the original may need torch. The photographs are kept at the
    size of the network's input, where preprocessing no longer depends on how a processor resizes.

    Args:
        folder: artifact folder.
        images: photographs to run on besides those that ship.
        target: `.npz` file to write.
        artifact: what to run instead of the original network.
        backend: the runtime of that artifact.
    """
    _record(_open(ArtifactFolder.open(folder), artifact, backend), images, target)


def record_file(
    files: Sequence[str],
    spec: Mapping[str, Any],
    backend: str,
    precision: Precision,
    images: Sequence[str],
    target: str,
) -> None:
    """Run a single file on a runtime, for other runtimes to be compared with; else as `record`."""
    paths = [Path(name) for name in files]
    session = get_backend(backend).load(paths, ModelSpec.from_dict(spec), precision=precision)
    _record(session, images, target)


def _record(session: Runnable, images: Sequence[str], target: str) -> None:
    spec = session.spec
    recorded: dict[str, npt.NDArray[Any]] = {}
    for index, photo in enumerate(_photographs(images)):
        resized = cv2.resize(photo, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
        outputs = session.run(preprocess(np.asarray(resized, np.uint8), spec))
        recorded |= {f"{key}{index}": value for key, value in outputs.items()}
        recorded[f"photo{index}"] = resized
    np.savez(target, **recorded)  # type: ignore[arg-type]  # any name is an array


def _open(folder: ArtifactFolder, artifact: str | None, backend: str | None) -> Runnable:
    if artifact is None or backend is None:
        return open_reference(folder).session
    found = folder.get(artifact)
    return get_backend(backend).load(folder.files(found), folder.spec, precision=found.precision)


def compare_with_recorded(
    recorded: Path, session: Session, backend: str, precision: Precision
) -> Comparison:
    """Compare a session with what `record` wrote, on the same photographs."""
    tolerance = get_backend(backend).tolerance(precision, session.spec)
    candidate = LoadedArtifact("", backend, session, tolerance, session.halves)
    with np.load(recorded) as content:
        photos = [content[name] for name in content.files if name.startswith("photo")]
        reference = Reference("recorded", Recorded(session.spec, content))
        return compare_with_original(reference, [candidate], photos)[0]


class Recorded(Session):
    """Gives back the recorded outputs in their order, whatever it is asked."""

    def __init__(self, spec: ModelSpec, outputs: Mapping[str, Tensor]) -> None:
        super().__init__(spec)
        self._outputs = outputs
        self._next = 0

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        index, self._next = self._next, self._next + 1
        return {key: self._outputs[f"{key}{index}"] for key in self.spec.outputs}


def _photographs(images: Sequence[str]) -> Iterator[Image]:
    for name in images:
        yield read_image(Path(name))
    yield from embedded_images()
