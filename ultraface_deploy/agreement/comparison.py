"""How far an artifact is from the original network: tensors first, then the faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ultraface_deploy.agreement.faces import SameFaces
from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.errors import InputError, UltraFaceError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, postprocess, preprocess
from ultraface_deploy.pipeline.preprocess import Tensor
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.records import Version

Outputs = Mapping[str, Tensor]
Shown = Literal["runtime", "simulator", "interpreter"]
"""What computed an artifact's side of a comparison: the runtime that a device has too, a simulator
of the device by its maker or of its arithmetic, or an interpreter of ours over the file."""

_SCORE_THRESHOLD = 0.5
# Far more than the pipeline's own limit: where a crowd exceeds that, a difference in the last bit
# decides which boxes are cut off, and equal networks would seem to find different faces.
_CANDIDATES = 2000


class Runnable(Protocol):
    """A loaded network, whatever runs it."""

    spec: ModelSpec

    def run(self, tensor: Tensor, /) -> Outputs:
        """Return `scores` (1, N, C) and `boxes` (1, N, 4) for a network input (1, 3, H, W)."""


@dataclass(frozen=True)
class Comparison:
    """How one artifact on one backend agrees with the original network.

    Differences are the largest over all images; `cosine` is the smallest similarity of an output
    tensor; recall, precision and mean IoU are of the faces at score 0.5, matched at IoU 0.5.
    A difference is None where the artifact did not run. `halves` says that the runtime computed
    in half floats what an INT8 artifact leaves to floats; `arena_kib` is the memory that a runtime
    of microcontrollers needs; `compared_by` says what computed the artifact, None where nothing
    did.
    """

    artifact: str
    backend: str
    passed: bool
    max_abs_scores: float | None = None
    max_abs_boxes: float | None = None
    cosine: float | None = None
    recall: float | None = None
    precision: float | None = None
    mean_iou: float | None = None
    detections: int = 0
    reference_detections: int = 0
    images: int = 0
    reason: str | None = None
    reference: str = "torch"
    halves: bool = False
    arena_kib: int | None = None
    compared_by: Shown | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @property
    def proves_nothing(self) -> bool:
        """Whether neither network found a face, so that equal faces say nothing."""
        return self.passed and not (self.detections or self.reference_detections)

    def needing_faces(self) -> Comparison:
        """Return the comparison; one without any face has not passed."""
        if not self.proves_nothing:
            return self
        reason = (
            "neither network found a face, which proves nothing; compare on pictures with faces, "
            "check `mean`, `std` and `color`, or give `allow_no_faces`"
        )
        return replace(self, passed=False, reason=reason)


@dataclass(frozen=True)
class Comparisons:
    """What `verify --json` writes."""

    schema: Version
    passed: bool
    results: Sequence[Comparison]


@dataclass
class _Agreement:
    """Gathers the differences of one candidate image by image."""

    scores: list[float] = field(default_factory=list)
    boxes: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    faces: SameFaces = field(default_factory=SameFaces)
    images: int = 0

    def add(
        self,
        reference: Outputs,
        candidate: Outputs,
        spec: ModelSpec,
        borderline: float,
    ) -> None:
        """Compare the outputs for one image.

        A face whose score lies within `borderline` of the threshold may be reported by one and
        not by the other.
        """
        self.images += 1
        self.scores.append(float(np.abs(reference["scores"] - candidate["scores"]).max()))
        # Landmarks are offsets like those of boxes.
        offsets = [key for key in reference if key != "scores"]
        self.boxes += [float(np.abs(reference[key] - candidate[key]).max()) for key in offsets]
        self.cosines += [_cosine(reference[key], candidate[key]) for key in reference]
        self.faces.add(
            _faces(reference, spec),
            _faces(candidate, spec),
            _faces(reference, spec, borderline),
            _faces(candidate, spec, borderline),
        )

    def result(self, candidate: LoadedArtifact, reference: str) -> Comparison:
        """Judge what was gathered."""
        values = {
            "max_abs_scores": max(self.scores),
            "max_abs_boxes": max(self.boxes),
            "cosine": min(self.cosines),
        }
        reason = _reason(values, self.faces, candidate.tolerance)
        if reason and candidate.halves:
            reason += ", computed in half floats"
        finite = {key: value if np.isfinite(value) else None for key, value in values.items()}
        return Comparison(
            artifact=candidate.artifact,
            backend=candidate.backend,
            passed=reason is None,
            recall=self.faces.recall,
            precision=self.faces.precision,
            mean_iou=self.faces.mean_iou,
            detections=self.faces.had,
            reference_detections=self.faces.wanted,
            images=self.images,
            reason=reason,
            reference=reference,
            halves=candidate.halves,
            arena_kib=candidate.arena_kib,
            compared_by=candidate.shown,
            **finite,
        )


def _reason(values: dict[str, float], faces: SameFaces, tolerance: Tolerance) -> str | None:
    """Say what is beyond the tolerance, None where nothing is."""
    problems = []
    if not all(np.isfinite(value) for value in values.values()):
        problems.append("outputs are not finite")
    for name, bound in (("scores", tolerance.scores), ("boxes", tolerance.boxes)):
        if bound is not None and values[f"max_abs_{name}"] > bound:
            problems.append(f"{name} differ by {values[f'max_abs_{name}']:.2g}, allowed {bound:g}")
    return "; ".join(problems + faces.objections(tolerance)) or None


class Recording:
    """What a network computed of a series of images, given out again in their order.

    Args:
        spec: the network.
        outputs: of each image, as `Runnable.run` returns them.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[Outputs]) -> None:
        self.spec = spec
        self._outputs = outputs
        self._next = iter(outputs)

    @classmethod
    def make(cls, reference: Reference, images: Iterable[Image]) -> Recording:
        """Run the original network on images (H, W, 3) uint8 BGR."""
        spec = reference.session.spec
        return cls(spec, [reference.session.run(preprocess(image, spec)) for image in images])

    @classmethod
    def load(cls, path: Path, spec: ModelSpec) -> Recording:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            keys = [name.split("/") for name in file.files]
            count = 1 + max((int(number) for number, _ in keys), default=-1)
            outputs: list[dict[str, Tensor]] = [{} for _ in range(count)]
            for number, key in keys:
                outputs[int(number)][key] = file[f"{number}/{key}"]
        return cls(spec, outputs)

    def save(self, path: Path) -> None:
        """Write the outputs into an `.npz` file."""
        named = {f"{i}/{key}": each[key] for i, each in enumerate(self._outputs) for key in each}
        np.savez(path, **named)  # type: ignore[arg-type]

    def run(self, tensor: Tensor, /) -> Outputs:
        """Return the outputs for the next image, whose tensor is not looked at."""
        return next(self._next)


@dataclass(frozen=True)
class Reference:
    """The original network, loaded; `name` is `torch`, `onnx` or `caffe`."""

    name: str
    session: Runnable


@dataclass(frozen=True)
class LoadedArtifact:
    """An artifact on a backend, loaded, and how far it may be off."""

    artifact: str
    backend: str
    session: Runnable
    tolerance: Tolerance
    halves: bool = False
    arena_kib: int | None = None
    shown: Shown = "runtime"


def compare_with_original(
    reference: Reference, candidates: Sequence[LoadedArtifact], images: Iterable[Image]
) -> list[Comparison]:
    """Compare sessions with the original network on photographs, each read and run once.

    Args:
        reference: the original network.
        candidates: what was made of it.
        images: (H, W, 3) uint8 BGR.

    Returns:
        One comparison a candidate; a candidate that failed to run has not passed.

    Raises:
        BackendError: the reference failed to run.
        InputError: there were no images.
    """
    agreements = [_Agreement() for _ in candidates]
    failures: dict[int, str] = {}
    spec = reference.session.spec
    for image in images:
        tensor = preprocess(image, spec)
        wanted = reference.session.run(tensor)
        for index, (candidate, agreement) in enumerate(zip(candidates, agreements, strict=True)):
            if index not in failures:
                try:
                    outputs = candidate.session.run(tensor)
                except UltraFaceError as error:
                    failures[index] = str(error)
                    continue
                agreement.add(wanted, outputs, spec, candidate.tolerance.scores or 0.0)
    if candidates and not failures and not agreements[0].images:
        raise InputError("no images to compare on; give `images` FOLDER")
    return [
        failed(candidate.artifact, candidate.backend, reference, failures[index])
        if index in failures
        else agreements[index].result(candidate, reference.name)
        for index, candidate in enumerate(candidates)
    ]


def failed(artifact: str, backend: str, reference: Reference, reason: str) -> Comparison:
    """Return the comparison of an artifact that did not run."""
    return Comparison(artifact, backend, False, reason=reason, reference=reference.name)


def _faces(outputs: Outputs, spec: ModelSpec, borderline: float = 0.0) -> Faces:
    options = PostprocessOptions(_SCORE_THRESHOLD - borderline, candidates=_CANDIDATES)
    size = (spec.width, spec.height)
    return postprocess(
        outputs["scores"], outputs["boxes"], spec, size, options, outputs.get("landmarks")
    )


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale else 1.0
