"""Comparing an artifact with the original network: tensors first, then the faces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.artifact import Artifact, ArtifactFolder
from ultraface_deploy.backends import Outputs, Session, backend_names, get_backend
from ultraface_deploy.child import run_in_child
from ultraface_deploy.errors import CheckFailed, InputError, UltraFaceError
from ultraface_deploy.pipeline import (
    Faces,
    PostprocessOptions,
    iou_matrix,
    postprocess,
    preprocess,
)
from ultraface_deploy.pipeline.preprocess import Image
from ultraface_deploy.precision import Precision
from ultraface_deploy.spec import ModelSpec

_SCORE_THRESHOLD = 0.5
_MATCH_IOU = 0.5


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from the original network.

    `scores` and `boxes` bound the largest absolute difference of the output tensors (boxes as raw
    offsets); None where only the faces count.
    """

    scores: float | None
    boxes: float | None
    f1: float = 1.0
    mean_iou: float = 0.99


# Several times what was measured on photographs for both networks from 128x96 to 1280x960.
# MNN's Winograd convolutions differ more than the others, most of all in RFB's 3x3 branches.
_FP32 = {"mnn": Tolerance(2e-3, 2e-2)}
_FP32_DEFAULT = Tolerance(5e-5, 5e-4)
_FP16 = Tolerance(3e-2, 5e-1, f1=0.98, mean_iou=0.97)
_INT8 = Tolerance(None, None, f1=0.97, mean_iou=0.93)
# Corners are offsets times at most a fifth of the image; see `pipeline.boxes.decode`.
_DECODED_SCALE = 0.2


def tolerance_for(backend: str, precision: Precision, spec: ModelSpec) -> Tolerance:
    """Return how far an artifact may be off on a backend."""
    if precision in ("int8", "w8"):
        return _INT8
    tolerance = _FP16 if precision == "fp16" else _FP32.get(backend, _FP32_DEFAULT)
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
        overlaps = _best_ious(wanted, had_loose)
        self.ious += [overlap for overlap in overlaps if overlap >= _MATCH_IOU]
        self.found += sum(overlap >= _MATCH_IOU for overlap in overlaps)
        self.correct += sum(overlap >= _MATCH_IOU for overlap in _best_ious(had, wanted_loose))
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
    f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    if f1 < tolerance.f1:
        problems.append(
            f"faces agree with F1 {f1:.3f} (recall {recall:.3f}, precision {precision:.3f}), "
            f"wanted {tolerance.f1:g}"
        )
    if mean_iou < tolerance.mean_iou:
        problems.append(f"mean IoU {mean_iou:.3f}, wanted {tolerance.mean_iou:g}")
    return "; ".join(problems) or None


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
        _failed(candidate.artifact, candidate.backend, reference, failures[index])
        if index in failures
        else agreements[index].result(candidate, reference.name)
        for index, candidate in enumerate(candidates)
    ]


@dataclass(frozen=True)
class Reference:
    """The original network, loaded; `name` is `torch` or `onnx`."""

    name: str
    session: Session


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
        files = folder.intact_files(folder.find("onnx"))
        return Reference("onnx", get_backend("onnxruntime").load(files, folder.spec))
    raise InputError(
        f"{folder.path}: holds no original network to compare with; "
        f"convert again from the checkpoint or the ONNX file"
    )


def readers(artifact: Artifact) -> list[str]:
    """Return the names of the backends that read an artifact, installed or not."""
    return [
        name
        for name in backend_names()
        if artifact.format in get_backend(name).formats
        # OpenCV's importer knows no QDQ graphs with per-channel weights.
        and not (name == "opencv" and artifact.precision == "int8")
    ]


def verify_artifact(
    spec: ModelSpec,
    artifact: Artifact,
    files: Sequence[Path],
    backend: str,
    reference: Reference,
    images: Iterable[Image],
) -> Comparison:
    """Compare one artifact on one backend with the original network; a failure is a result."""
    candidate = _load_candidate(spec, artifact, files, backend, reference)
    if isinstance(candidate, Comparison):
        return candidate
    return compare(reference, [candidate], images)[0]


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
        One comparison an artifact and backend.

    Raises:
        InputError: there is nothing to compare, or nothing to compare with.
    """
    reference = open_reference(folder)
    loaded = [
        _load_checked(folder, artifact, backend, reference)
        for artifact in folder.artifacts
        if artifact.id != reference.name
        for backend in readers(artifact)
        if (not backends or backend in backends) and get_backend(backend).available()
    ]
    if not loaded:
        raise InputError(
            f"{folder.path}: nothing to verify with {', '.join(backends or ['what is installed'])}"
        )
    runnable = [item for item in loaded if isinstance(item, Candidate)]
    compared = iter(compare(reference, runnable, images))
    return [item if isinstance(item, Comparison) else next(compared) for item in loaded]


def _load_checked(
    folder: ArtifactFolder, artifact: Artifact, backend: str, reference: Reference
) -> Candidate | Comparison:
    """Load an artifact that was verified and is as recorded; measure others in a child."""
    problem = folder.check_files(artifact)
    if problem is None and artifact.verified:
        files = folder.files(artifact)
        return _load_candidate(folder.spec, artifact, files, backend, reference)
    arguments = {"folder": str(folder.path.resolve()), "artifact": artifact.id, "backend": backend}
    try:
        # A damaged file can crash a runtime; and the user wants to know how far off it is.
        measured = Comparison(
            **run_in_child("ultraface_deploy.verify:measure", arguments, what=f"{backend} run")
        )
    except UltraFaceError as error:
        measured = _failed(artifact.id, backend, reference, str(error))
    if problem is None:
        return measured
    consequence = measured.reason or "it still computes the same"
    return replace(measured, passed=False, reason=f"{problem}: {consequence}")


def measure(folder: str, artifact: str, backend: str) -> dict[str, Any]:
    """Compare one artifact, whatever its files are, with the reference on the shipped photos."""
    from ultraface_deploy.images import embedded_images

    opened = ArtifactFolder.open(folder)
    found = opened.get(artifact)
    files, reference = opened.files(found), open_reference(opened)
    return verify_artifact(
        opened.spec, found, files, backend, reference, embedded_images()
    ).to_dict()


def _load_candidate(
    spec: ModelSpec, artifact: Artifact, files: Sequence[Path], backend: str, reference: Reference
) -> Candidate | Comparison:
    try:
        session = get_backend(backend).load(files, spec, precision=artifact.precision)
    except UltraFaceError as error:
        return _failed(artifact.id, backend, reference, str(error))
    tolerance = tolerance_for(backend, artifact.precision, spec)
    return Candidate(artifact.id, backend, session, tolerance)


def _failed(artifact: str, backend: str, reference: Reference, reason: str) -> Comparison:
    return Comparison(artifact, backend, False, reason=reason, reference=reference.name)


def require_passed(comparison: Comparison) -> None:
    """Refuse an artifact that is not the network it was made from.

    Raises:
        CheckFailed: says which artifact, on which backend, and how far off.
    """
    if not comparison.passed:
        raise CheckFailed(
            f"{comparison.artifact} on {comparison.backend} is not the original network: "
            f"{comparison.reason}"
        )


def _faces(outputs: Outputs, spec: ModelSpec, borderline: float = 0.0) -> Faces:
    options = PostprocessOptions(score_threshold=_SCORE_THRESHOLD - borderline)
    size = (spec.width, spec.height)
    return postprocess(outputs["scores"], outputs["boxes"], spec, size, options)


def _best_ious(wanted: Faces, had: Faces) -> list[float]:
    """For each wanted face, its IoU with the face of the same class that overlaps it most."""
    if not len(wanted):
        return []
    if not len(had):
        return [0.0] * len(wanted)
    overlaps = iou_matrix(wanted.boxes, had.boxes)
    overlaps[wanted.labels[:, None] != had.labels[None, :]] = 0
    return [float(value) for value in overlaps.max(axis=1)]


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / scale) if scale else 1.0
