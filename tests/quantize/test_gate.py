from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import Convert
from tests.quantize.conftest import Case
from ultraface_deploy.artifacts import int8
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.int8 import runner_of
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters.mnn import tool as mnn_tool
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.quantize.gate import Gate, Verdict
from ultraface_deploy.quantize.images import shipped_images
from ultraface_deploy.safe.images import Image, read_image
from ultraface_deploy.wider import TruthImage


def images_of(photos: list[Path]) -> Iterator[Image]:
    return map(read_image, photos)


def judge(gate: Gate, backend: str, files: Sequence[Path]) -> Verdict:
    return gate.judge(runner_of(get_backend(backend), gate.spec, files[0].parent), files)


@pytest.fixture
def gate(slim: Case, photos: list[Path], tmp_path: Path) -> Gate:
    return Gate(slim.executor, slim.spec, images_of(photos[6:14]), tmp_path)


def test_the_network_itself_passes(gate: Gate, slim: Case) -> None:
    verdict = judge(gate, "onnxruntime", slim.files("onnxsim"))
    assert verdict.passed
    assert (verdict.f1, verdict.score_error) == (1.0, 0.0)
    assert verdict.mean_iou == pytest.approx(1.0)
    assert verdict.ap_drop is None
    assert gate.images == 8


def test_shrunken_scores_are_seen(gate: Gate, slim: Case, tmp_path: Path) -> None:
    """AP is blind to this, because it normalises scores over the whole set."""
    towards_background = {
        layer.name: (layer.weight, layer.bias + np.tile([2.0, 0.0], len(layer.bias) // 2))
        for layer in slim.network.layers
        if layer.name.startswith("classification_headers") and not layer.relu
    }
    shrunken = slim.network.with_parameters(towards_background)  # type: ignore[arg-type]
    onnx.save(slim.onnx(shrunken), tmp_path / "shrunken.onnx")
    verdict = judge(gate, "onnxruntime", [tmp_path / "shrunken.onnx"])
    assert not verdict.passed
    assert verdict.recall < 0.9


def test_what_cannot_run_is_rejected_not_raised(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    verdict = judge(gate, "onnxruntime", [tmp_path / "broken.onnx"])
    assert not verdict.passed
    assert "cannot run it" in str(verdict.reason)


def test_a_runtime_that_crashes_is_a_verdict(
    gate: Gate, slim: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = int8.run_in_child

    def crash(target: str, arguments: object, **options: object) -> object:
        return original("ctypes:string_at", {"ptr": 0}, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(int8, "run_in_child", crash)
    verdict = judge(gate, "onnxruntime", slim.files("onnxsim"))
    assert not verdict.passed
    assert "SIGSEGV" in str(verdict.reason)


def test_images_without_faces_prove_nothing(slim: Case, tmp_path: Path) -> None:
    blank = np.full((120, 160, 3), 127, np.uint8)
    with pytest.raises(InputError, match="finds no face in 1 validation image,"):
        Gate(slim.executor, slim.spec, [blank], tmp_path)
    with pytest.raises(InputError, match="no validation images"):
        Gate(slim.executor, slim.spec, [], tmp_path)


def test_labels_bound_the_loss_of_ap(slim: Case, photos: list[Path], tmp_path: Path) -> None:
    files = slim.files("onnxsim")
    plain = Gate(slim.executor, slim.spec, images_of(photos[:4]), tmp_path)
    labels = [_truth(str(index), found.boxes) for index, found in enumerate(plain._faces)]
    gate = Gate(slim.executor, slim.spec, images_of(photos[:4]), tmp_path, labels)
    assert judge(gate, "onnxruntime", files).ap_drop == 0.0
    layer = slim.network.layer("regression_headers.0.2")
    worse = slim.network.with_parameters({layer.name: (layer.weight * 0, layer.bias * 0)})
    onnx.save(slim.onnx(worse), tmp_path / "worse.onnx")
    verdict = judge(gate, "onnxruntime", [tmp_path / "worse.onnx"])
    assert verdict.ap_drop is not None
    assert verdict.ap_drop > 0.005
    assert "AP drops" in str(verdict.reason)


def test_lost_faces_and_moved_boxes_keep_the_gate_shut(
    gate: Gate, slim: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(change: Callable[[Faces], Faces]) -> Verdict:
        monkeypatch.setattr(gate, "_detect", lambda *_: [change(each) for each in gate._faces])
        return judge(gate, "onnxruntime", slim.files("onnxsim"))

    def without_last(faces: Faces) -> Faces:
        return Faces(faces.boxes[:-1], faces.scores[:-1], faces.labels[:-1])

    def moved(faces: Faces) -> Faces:
        # By 4 % of their width: an IoU of 0.96 / 1.04 = 0.923.
        step = (faces.boxes[:, [2]] - faces.boxes[:, [0]]) * [0.04, 0, 0.04, 0]
        return replace(faces, boxes=faces.boxes + step.astype(np.float32))

    lost = judged(without_last)
    assert 0.5 < lost.f1 < 0.97
    assert "F1" in str(lost.reason)
    shifted = judged(moved)
    assert (shifted.f1, shifted.mean_iou) == (1.0, pytest.approx(0.923, abs=1e-3))
    assert "mean IoU" in str(shifted.reason)


def test_shipped_images_hold_enough_faces(slim: Case, tmp_path: Path) -> None:
    gate = Gate(slim.executor, slim.spec, shipped_images(), tmp_path)
    assert sum(map(len, gate._faces)) > 50


@pytest.mark.parametrize(("name", "method"), [("slim", "KL"), ("RFB", "EMA")])
def test_mnns_known_bad_methods_are_rejected(
    converted: Convert,
    checkpoints: Path,
    photos: list[Path],
    tmp_path: Path,
    name: str,
    method: mnn_tool.MnnMethod,
) -> None:
    pytest.importorskip("MNN", reason="it is MNN's own quantiser that is judged")
    folder: ArtifactFolder = converted(checkpoints / f"version-{name}-320.pth", "onnxsim")
    (source,) = folder.files(folder.find("onnxsim"))
    output = tmp_path / "model.mnn"
    mnn_tool.quantize_with_mnn(source, folder.spec, images_of(photos[:8]), method, output)
    gate = Gate(OnnxExecutor(*load_network(source)), folder.spec, images_of(photos[8:]), tmp_path)
    verdict = judge(gate, "mnn", [output])
    assert not verdict.passed
    assert verdict.f1 < 0.7


@pytest.mark.parametrize("silent", ["no file", "FP32"])
def test_silent_failure_of_mnns_quantiser_is_noticed(
    slim: Case, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    pytest.importorskip("MNN", reason="the tool around the simulated failure is MNN's")

    def fail(tool: str, arguments: list[str]) -> None:
        if silent == "FP32":
            Path(arguments[1]).write_bytes(Path(arguments[0]).read_bytes())

    monkeypatch.setattr(mnn_tool, "run_tool", fail)
    with pytest.raises(mnn_tool.ToolFailed, match=r"without a file|in FP32"):
        mnn_tool.quantize_with_mnn(
            slim.files("onnxsim")[0],
            slim.spec,
            images_of(photos[:1]),
            "EMA",
            tmp_path / "model.mnn",
        )


def _truth(name: str, boxes: np.ndarray) -> TruthImage:
    return TruthImage(name, boxes.astype(np.float64), np.ones((3, len(boxes)), bool))
