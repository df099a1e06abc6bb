"""How far an artifact is from the original network: tensors first, then the faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ultraface_deploy.agreement.faces import f1_score, match_faces
from ultraface_deploy.agreement.precision import Precision, Tolerance, precision_record
from ultraface_deploy.backends import Outputs, Session
from ultraface_deploy.errors import InputError, UltraFaceError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, postprocess, preprocess
from ultraface_deploy.pipeline.preprocess import Image

_SCORE_THRESHOLD = 0.5
# Far more than the pipeline's own limit: where a crowd exceeds that, a difference in the last bit
# decides which boxes are cut off, and equal networks would seem to find different faces.
_CANDIDATES = 2000


# MNN's Winograd convolutions differ more than the others, most of all in RFB's 3x3 branches.
_FP32 = {"mnn": Tolerance(2e-3, 2e-2)}
# Corners are offsets times at most a fifth of the image; see `pipeline.boxes.decode`.
_DECODED_SCALE = 0.2


def tolerance_for(backend: str, precision: Precision, spec: ModelSpec) -> Tolerance:
    """Return how far an artifact may be off on a backend.

    Raises:
        InputError: there is no such precision.
    """
    tolerance = precision_record(precision).tolerance
    if precision == "fp32":
        tolerance = _FP32.get(backend, tolerance)
    if spec.head == "decoded" and tolerance.boxes is not None:
        return Tolerance(
            tolerance.scores, tolerance.boxes * _DECODED_SCALE, tolerance.f1, tolerance.mean_iou
        )
    return tolerance


@dataclass(frozen=True)
class Comparison:
    """How one artifact on one backend agrees with the original network.

    Differences are the largest over all images; `cosine` is the smallest similarity of an output
    tensor; recall, precision and mean IoU are of the faces at score 0.5, matched at IoU 0.5.
    A difference is None where the artifact did not run.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass
class _Agreement:
    """Gathers the differences of one candidate image by image."""

    scores: list[float] = field(default_factory=list)
    boxes: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    found: int = 0
    detections: int = 0
    correct: int = 0
    reference_detections: int = 0
    images: int = 0

    def add(
        self, reference: Outputs, candidate: Outputs, spec: ModelSpec, borderline: float
    ) -> None:
        """Compare the outputs for one image.

        A face whose score lies within `borderline` of the threshold may be reported by one and
        not by the other.
        """
        self.images += 1
        self.scores.append(float(np.abs(reference["scores"] - candidate["scores"]).max()))
        self.boxes.append(float(np.abs(reference["boxes"] - candidate["boxes"]).max()))
        self.cosines += [_cosine(reference[key], candidate[key]) for key in reference]
        wanted, had = _faces(reference, spec), _faces(candidate, spec)
        wanted_loose = _faces(reference, spec, borderline)
        had_loose = _faces(candidate, spec, borderline)
        matched = match_faces(wanted, had_loose)
        self.ious += matched
        self.found += len(matched)
        self.correct += len(match_faces(had, wanted_loose))
        self.detections += len(had)
        self.reference_detections += len(wanted)

    def result(self, candidate: Candidate, reference: str) -> Comparison:
        """Judge what was gathered."""
        recall = self.found / self.reference_detections if self.reference_detections else 1.0
        precision = self.correct / self.detections if self.detections else 1.0
        mean_iou = float(np.mean(self.ious)) if self.ious else 1.0
        values = {
            "max_abs_scores": max(self.scores),
            "max_abs_boxes": max(self.boxes),
            "cosine": min(self.cosines),
        }
        reason = _reason(values, recall, precision, mean_iou, candidate.tolerance)
        finite = {key: value if np.isfinite(value) else None for key, value in values.items()}
        return Comparison(
            artifact=candidate.artifact,
            backend=candidate.backend,
            passed=reason is None,
            recall=recall,
            precision=precision,
            mean_iou=mean_iou,
            detections=self.detections,
            reference_detections=self.reference_detections,
            images=self.images,
            reason=reason,
            reference=reference,
            **finite,
        )


def _reason(
    values: dict[str, float],
    recall: float,
    precision: float,
    mean_iou: float,
    tolerance: Tolerance,
) -> str | None:
    """Say what is beyond the tolerance, None where nothing is."""
    problems = []
    if not all(np.isfinite(value) for value in values.values()):
        problems.append("outputs are not finite")
    for name, bound in (("scores", tolerance.scores), ("boxes", tolerance.boxes)):
        if bound is not None and values[f"max_abs_{name}"] > bound:
            problems.append(f"{name} differ by {values[f'max_abs_{name}']:.2g}, allowed {bound:g}")
    f1 = f1_score(recall, precision)
    if f1 < tolerance.f1:
        problems.append(
            f"faces agree with F1 {f1:.3f} (recall {recall:.3f}, precision {precision:.3f}), "
            f"wanted {tolerance.f1:g}"
        )
    if mean_iou < tolerance.mean_iou:
        problems.append(f"mean IoU {mean_iou:.3f}, wanted {tolerance.mean_iou:g}")
    return "; ".join(problems) or None


@dataclass(frozen=True)
class Reference:
    """The original network, loaded; `name` is `torch`, `onnx` or `caffe`."""

    name: str
    session: Session


@dataclass(frozen=True)
class Candidate:
    """An artifact on a backend, loaded, and how far it may be off."""

    artifact: str
    backend: str
    session: Session
    tolerance: Tolerance


def compare(
    reference: Reference, candidates: Sequence[Candidate], images: Iterable[Image]
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
        raise InputError("no images to compare on; give --images FOLDER")
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
    return postprocess(outputs["scores"], outputs["boxes"], spec, size, options)


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale else 1.0
