"""The original network's outputs, recorded once, for every timing child to be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ultraface_deploy.artifact import ArtifactFolder
from ultraface_deploy.backends import Session
from ultraface_deploy.backends.base import Tensor
from ultraface_deploy.comparison import Candidate, Comparison, Reference, compare, tolerance_for
from ultraface_deploy.images import DEMO_PHOTO, embedded_images, read_image
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.pipeline.preprocess import Image
from ultraface_deploy.precision import Precision
from ultraface_deploy.spec import ModelSpec
from ultraface_deploy.verify import open_reference


def record(folder: str, image: str, target: str) -> str:
    """Run the original network of a folder on the timed image and on those that ship.

    Runs in a child process, because the original may need torch. The photographs are kept at the
    size of the network's input, where preprocessing no longer depends on how a processor resizes.

    Args:
        folder: artifact folder.
        image: the photograph that will be timed.
        target: `.npz` file to write.

    Returns:
        The name of the runtime that ran it.
    """
    reference = open_reference(ArtifactFolder.open(folder))
    spec = reference.session.spec
    recorded: dict[str, npt.NDArray[Any]] = {}
    for index, photo in enumerate(_images(Path(image))):
        resized = cv2.resize(photo, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
        outputs = reference.session.run(preprocess(np.asarray(resized, np.uint8), spec))
        recorded |= {f"{key}{index}": value for key, value in outputs.items()}
        recorded[f"photo{index}"] = resized
    np.savez(target, **recorded)  # type: ignore[arg-type]  # any name is an array
    return reference.name


def compare_with_recorded(
    recorded: Path, session: Session, backend: str, precision: Precision
) -> Comparison:
    """Compare a session with what `record` wrote, on the same photographs."""
    candidate = Candidate("", backend, session, tolerance_for(backend, precision, session.spec))
    with np.load(recorded) as content:
        photos = [content[f"photo{index}"] for index in range(len(content.files) // 3)]
        reference = Reference("recorded", Recorded(session.spec, content))
        return compare(reference, [candidate], photos)[0]


class Recorded(Session):
    """Gives back the recorded outputs in their order, whatever it is asked."""

    def __init__(self, spec: ModelSpec, outputs: Mapping[str, Tensor]) -> None:
        super().__init__(spec)
        self._outputs = outputs
        self._next = 0

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        index, self._next = self._next, self._next + 1
        return {key: self._outputs[f"{key}{index}"] for key in ("scores", "boxes")}


def _images(timed: Path) -> Iterator[Image]:
    if timed != DEMO_PHOTO:
        yield read_image(timed)
    yield from embedded_images()
