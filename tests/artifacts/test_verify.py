"""Verification: what agrees passes, what does not is named with how far off it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.conftest import Convert, MakeCheckpoint, noise
from ultraface_deploy.agreement.comparison import (
    Candidate,
    Comparison,
    Reference,
    Tolerance,
    compare,
    tolerance_for,
)
from ultraface_deploy.artifacts.folder import ArtifactFolder, describe_files
from ultraface_deploy.artifacts.verify import open_reference, require_passed, verify_folder
from ultraface_deploy.backends import Outputs, Session, get_backend
from ultraface_deploy.errors import BackendError, CheckFailed, InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import encode, make_anchors
from ultraface_deploy.safe.images import embedded_images

SPEC = ModelSpec("net", "slim", 64, 64, head="decoded")
Box = tuple[float, float, float, float]
LEFT: Box = (0.1, 0.1, 0.3, 0.3)
RIGHT: Box = (0.6, 0.6, 0.9, 0.9)


class Fixed(Session):
    """A network that sees certain faces wherever it looks: anchor -> (score, corners)."""

    def __init__(self, *faces: tuple[float, Box], spec: ModelSpec = SPEC) -> None:
        super().__init__(spec)
        self.scores = np.tile(np.array([1, 0], np.float32), (1, spec.num_anchors, 1))
        self.boxes = np.full((1, spec.num_anchors, 4), 0.5, np.float32)
        for anchor, (score, corners) in enumerate(faces):
            self.scores[0, anchor] = 1 - score, score
            self.boxes[0, anchor] = corners
        if spec.head == "raw":
            self.boxes = encode(self.boxes[0], make_anchors(spec), 0.1, 0.2)[None]

    def _run(self, tensor: np.ndarray) -> Outputs:
        return {"scores": self.scores, "boxes": self.boxes}


def judge(
    reference: Session, candidate: Session, tolerance: Tolerance, images: int = 1
) -> Comparison:
    return compare(
        Reference("torch", reference),
        [Candidate("net", "fake", candidate, tolerance)],
        [noise(64, 64)] * images,
    )[0]


LOOSE = Tolerance(None, None)
TIGHT = Tolerance(1e-4, 1e-4)


def test_same_outputs_pass() -> None:
    result = judge(Fixed((0.9, LEFT)), Fixed((0.9, LEFT)), TIGHT, images=3)
    assert result.passed
    assert result.reason is None
    assert (result.max_abs_scores, result.max_abs_boxes, result.cosine) == (0, 0, pytest.approx(1))
    assert (result.recall, result.precision, result.mean_iou) == (1, 1, pytest.approx(1))
    assert (result.detections, result.reference_detections, result.images) == (3, 3, 3)


def test_differences_are_measured_and_named() -> None:
    moved = (0.1, 0.1, 0.3, 0.303)
    result = judge(Fixed((0.9, LEFT)), Fixed((0.88, moved)), TIGHT)
    assert not result.passed
    assert result.max_abs_scores == pytest.approx(0.02, abs=1e-6)
    assert result.max_abs_boxes == pytest.approx(0.003, abs=1e-6)
    assert result.mean_iou == pytest.approx(0.2 / 0.203, rel=1e-4)
    assert "scores differ by 0.02, allowed 0.0001" in (result.reason or "")
    assert "boxes differ by 0.003" in (result.reason or "")
    with pytest.raises(CheckFailed, match=r"net on fake .* scores differ by 0\.02"):
        require_passed(result)


def test_a_face_lost_and_a_face_invented() -> None:
    lost = judge(Fixed((0.9, LEFT), (0.9, RIGHT)), Fixed((0.9, LEFT)), LOOSE)
    assert (lost.recall, lost.precision, lost.passed) == (0.5, 1.0, False)
    assert "recall 0.500" in (lost.reason or "")
    invented = judge(Fixed((0.9, LEFT)), Fixed((0.9, LEFT), (0.9, RIGHT)), LOOSE)
    assert (invented.recall, invented.precision, invented.passed) == (1.0, 0.5, False)


def test_shrunken_scores_do_not_pass() -> None:
    """AP does not see them; verification must."""
    result = judge(Fixed((0.9, LEFT)), Fixed((0.4, LEFT)), LOOSE)
    assert (result.recall, result.passed) == (0.0, False)


def test_moved_boxes_do_not_pass() -> None:
    result = judge(Fixed((0.9, LEFT)), Fixed((0.9, (0.12, 0.12, 0.32, 0.32))), LOOSE)
    assert result.recall == 1.0
    assert not result.passed
    assert "mean IoU" in (result.reason or "")


def test_face_on_the_threshold_is_forgiven_within_the_tolerance() -> None:
    reference, candidate = Fixed((0.5004, LEFT)), Fixed((0.4996, LEFT))
    assert judge(reference, candidate, Tolerance(1e-3, 1e-3)).passed
    assert not judge(reference, candidate, Tolerance(1e-4, 1e-3)).passed


def test_nothing_found_by_either_agrees() -> None:
    result = judge(Fixed(), Fixed(), TIGHT)
    assert result.passed
    assert (result.detections, result.reference_detections) == (0, 0)


def test_other_class_is_another_face() -> None:
    spec = replace(SPEC, num_classes=3)
    sessions = []
    for label in (1, 2):
        session = Fixed(spec=SPEC)
        session.spec = spec
        session.scores = np.tile(np.array([1, 0, 0], np.float32), (1, spec.num_anchors, 1))
        session.scores[0, 0] = np.eye(3, dtype=np.float32)[label]
        session.boxes[0, 0] = LEFT
        sessions.append(session)
    result = judge(sessions[0], sessions[1], LOOSE)
    assert (result.recall, result.precision) == (0, 0)


def test_outputs_that_are_not_finite() -> None:
    broken = Fixed((0.9, LEFT))
    broken.boxes = broken.boxes * np.nan
    result = judge(Fixed((0.9, LEFT)), broken, LOOSE)
    assert not result.passed
    assert "not finite" in (result.reason or "")
    assert result.max_abs_boxes is None


def test_candidate_that_stops_running() -> None:
    class Failing(Fixed):
        def _run(self, tensor: np.ndarray) -> Outputs:
            raise BackendError("the runtime gave up")

    results = compare(
        Reference("torch", Fixed((0.9, LEFT))),
        [Candidate(n, "fake", s, TIGHT) for n, s in (("a", Failing()), ("b", Fixed((0.9, LEFT))))],
        [noise(64, 64)],
    )
    assert [result.passed for result in results] == [False, True]
    assert results[0].reason == "the runtime gave up"


def test_no_images() -> None:
    with pytest.raises(InputError, match="no images to compare on"):
        judge(Fixed(), Fixed(), TIGHT, images=0)


def test_images_are_read_one_at_a_time() -> None:
    alive: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number in range(5):
            alive.append(number)
            yield noise(64, 64, number)

    result = compare(
        Reference("torch", Fixed()), [Candidate("n", "f", Fixed(), TIGHT)] * 3, images()
    )
    assert alive == list(range(5))
    assert [r.images for r in result] == [5, 5, 5]


def test_tolerances() -> None:
    raw = replace(SPEC, head="raw")
    assert tolerance_for("mnn", "fp32", raw).scores == 2e-3
    exact = tolerance_for("ncnn", "fp32", raw)
    assert (exact.scores, exact.boxes, exact.f1) == (5e-5, 5e-4, 1.0)
    assert tolerance_for("ncnn", "fp32", SPEC).boxes == pytest.approx(1e-4)
    assert tolerance_for("ncnn", "int8", raw).scores is None


# -- whole folders ------------------------------------------------------------------------------


def images() -> Iterator[np.ndarray]:
    return iter(list(embedded_images())[:2])


def failures(folder: ArtifactFolder) -> dict[tuple[str, str], str]:
    results = verify_folder(folder, images())
    return {(r.artifact, r.backend): r.reason or "" for r in results if not r.passed}


def test_folder_agrees(folder: ArtifactFolder) -> None:
    results = verify_folder(folder, images())
    installed = {(r.artifact, r.backend) for r in results}
    assert installed == {
        ("onnx", "onnxruntime"),
        ("onnx", "opencv"),
        ("onnxsim", "onnxruntime"),
        ("onnxsim", "opencv"),
        ("mnn", "mnn"),
        ("ncnn", "ncnn"),
    }
    assert all(r.passed and r.images == 2 and r.reference == "torch" for r in results)


def test_restricted_to_backends(folder: ArtifactFolder) -> None:
    results = verify_folder(folder, images(), ["mnn"])
    assert [(r.artifact, r.backend) for r in results] == [("mnn", "mnn")]
    with pytest.raises(InputError, match="nothing to verify with torch"):
        verify_folder(folder, images(), ["torch"])


def scale_first_weight(path: Path, factor: float) -> None:
    """A network that runs perfectly well, and is another one."""
    model = onnx.load(str(path))
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * factor, weight.name))
    onnx.save(model, str(path))


def flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    weights = np.frombuffer(content, np.uint8, 4000, middle // 4 * 4)
    content[middle // 4 * 4 : middle // 4 * 4 + 4000] = (weights ^ 0x40).tobytes()
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("format", "damage"),
    [
        ("onnxsim", lambda path: scale_first_weight(path, 1.05)),
        ("mnn", flip_bytes),
        ("ncnn", flip_bytes),
        ("mnn", truncate),
        ("ncnn", truncate),
        ("onnx", truncate),
        ("ncnn", lambda path: path.unlink()),
    ],
    ids=[
        "another network",
        *("flipped bits in mnn", "flipped bits in ncnn"),
        *("half an mnn", "half an ncnn", "half an onnx", "no file"),
    ],
)
def test_damaged_artifact_is_named(
    folder: ArtifactFolder, format: str, damage: Callable[[Path], None]
) -> None:
    damage(folder.files(folder.find(format))[-1])
    failed = failures(folder)
    assert {artifact for artifact, _ in failed} == {format}
    name = folder.find(format).files[-1]
    assert all(reason.startswith(name) for reason in failed.values())


def test_how_far_off(folder: ArtifactFolder) -> None:
    scale_first_weight(folder.files(folder.find("onnxsim"))[0], 1.2)
    results = {r.backend: r for r in verify_folder(folder, images()) if r.artifact == "onnxsim"}
    for backend in ("onnxruntime", "opencv"):
        far = results[backend]
        assert far.max_abs_boxes is not None
        assert far.max_abs_boxes > 5e-4
        assert "boxes differ by" in (far.reason or "")


def test_wrong_numbers_with_the_right_sum(folder: ArtifactFolder) -> None:
    """Somebody publishes another network under this name: only the numbers can tell."""
    artifact = folder.find("onnxsim")
    made = folder.path / ".made.onnx"
    made.write_bytes(folder.files(artifact)[0].read_bytes())
    scale_first_weight(made, 1.2)
    forged = folder.publish(
        describe_files("onnxsim", "fp32", {artifact.files[0]: made}), [made], {}
    )
    assert forged.check_files(forged.find("onnxsim")) is None
    failed = failures(forged)
    assert set(failed) == {("onnxsim", "onnxruntime"), ("onnxsim", "opencv")}
    assert all("differ by" in reason for reason in failed.values())


def test_reference_without_torch(folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_reference(folder).name == "torch"
    monkeypatch.setattr(type(get_backend("torch")), "available", lambda self: False)
    assert open_reference(folder).name == "onnx"
    results = verify_folder(folder, images())
    assert {r.reference for r in results} == {"onnx"}
    assert {r.artifact for r in results} == {"onnxsim", "mnn", "ncnn"}
    assert all(r.passed for r in results)


def test_no_reference(folder: ArtifactFolder) -> None:
    left = replace(folder, artifacts=(folder.find("mnn"),))
    with pytest.raises(InputError, match="no original network to compare with"):
        verify_folder(left, images())


def test_changed_reference_is_refused(folder: ArtifactFolder) -> None:
    flip_bytes(folder.files(folder.find("torch"))[0])
    with pytest.raises(InputError, match="SHA-256 differs"):
        verify_folder(folder, images())


def test_three_classes(converted: Convert, make_checkpoint: MakeCheckpoint) -> None:
    folder = converted(make_checkpoint("rfb", 3), "onnx", "mnn", "ncnn", size=(128, 96))
    assert all(result.passed for result in verify_folder(folder, images()))
