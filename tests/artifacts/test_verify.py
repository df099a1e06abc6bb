"""Verification of whole folders: what was changed or is another network is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts import recognition, verify
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder, describe_files
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.artifacts.verify import open_reference, verify_file, verify_folder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.errors import BackendError, InputError, MissingDependency, ToolFailed
from ultraface_deploy.safe.images import embedded_images


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
    with pytest.raises(InputError, match="with tflm; convert to ethosu first"):
        verify_folder(folder, images(), ["tflm"])


def test_what_nothing_installed_runs_is_looked_at(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(get_backend("mnn")), "available", lambda self: False)
    assert "mnn" not in {result.artifact for result in verify_folder(folder, images())}
    assert "mnn: not compared: mnn is not installed here; its files are as" in caplog.text
    flip_bytes(folder.files(folder.find("mnn"))[0])
    assert "SHA-256 differs" in failures(folder)["mnn", "none"]


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


def test_changed_file_fails_although_it_computes_the_same(folder: ArtifactFolder) -> None:
    (file,) = folder.files(folder.find("onnxsim"))
    model = onnx.load(str(file))
    model.doc_string = "a remark"
    onnx.save(model, str(file))
    failed = failures(folder)
    assert set(failed) == {("onnxsim", "onnxruntime"), ("onnxsim", "opencv")}
    assert all("it still computes the same" in reason for reason in failed.values())


def test_what_was_never_verified_runs_in_a_child(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: str, arguments: object, **options: object) -> object:
        raise ToolFailed("asked the child")

    monkeypatch.setattr("ultraface_deploy.artifacts.verify.run_in_child", refuse)
    assert failures(folder) == {}
    unknown = replace(folder.find("mnn"), verification=None)
    others = tuple(each for each in folder.artifacts if each.id != "mnn")
    assert failures(replace(folder, artifacts=(*others, unknown))) == {
        ("mnn", "mnn"): "asked the child"
    }


def test_the_child_is_given_what_the_original_computes(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the original in each child took most of the 90 s of an unverified folder."""
    stranger = replace(
        folder, artifacts=tuple(replace(each, verification=None) for each in folder.artifacts)
    )
    (stranger.path / MANIFEST).unlink()
    stranger._write()
    watch = f"{__name__}:measure_without_torch"
    real = verify.run_in_child
    monkeypatch.setattr(
        verify, "run_in_child", lambda target, arguments, **rest: real(watch, arguments, **rest)
    )
    results = verify_folder(stranger, images())
    assert {result.artifact for result in results} == {"onnx", "onnxsim", "mnn", "ncnn"}
    assert all(result.passed and result.images == 7 for result in results), results


def measure_without_torch(**arguments: Any) -> Any:
    """What `verify` calls in a child, where torch cannot be imported."""
    sys.modules["torch"] = None  # type: ignore[assignment]
    return verify.measure(**arguments)


def test_a_single_file_passes_the_gate_of_each_runtime(
    tmp_path: Path, folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "stranger.onnx"
    stranger.write_bytes(folder.files(folder.find("onnxsim"))[0].read_bytes())
    real = recognition.prove_harmless

    def refuse(runtime: Any, *rest: Any) -> None:
        if runtime.name == "opencv":
            raise BackendError("stopped at the gate")
        real(runtime, *rest)

    monkeypatch.setattr(recognition, "prove_harmless", refuse)
    found = {each.backend: each for each in verify_file(stranger, images())}
    assert found["onnxruntime"].passed
    assert found["opencv"].reason == "stopped at the gate"


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


def test_an_original_alone_is_compared_with_itself_on_every_runtime(tmp_path: Path) -> None:
    onnx_file = models.FOLDER / "slim-320.onnx"
    folder = convert(resolve_source(onnx_file), ["onnx"], output=tmp_path / "out")
    comparisons = verify_folder(folder, embedded_images())
    assert {comparison.backend for comparison in comparisons} >= {"onnxruntime"}
    assert all(comparison.passed for comparison in comparisons)


def test_a_comparison_without_any_face_proves_nothing(tmp_path: Path) -> None:
    onnx_file = models.FOLDER / "slim-320.onnx"
    folder = convert(resolve_source(onnx_file), ["onnx"], output=tmp_path / "out")
    black = [np.zeros((240, 320, 3), np.uint8)]
    (comparison, *_) = verify_folder(folder, black, ["onnxruntime"])
    assert comparison.passed and comparison.proves_nothing
    strict = comparison.needing_faces()
    assert not strict.passed and "`allow_no_faces`" in (strict.reason or "")


def test_a_single_file_is_compared_with_itself_on_every_runtime() -> None:
    comparisons = verify_file(models.FOLDER / "slim-320.onnx", embedded_images())
    assert {comparison.backend for comparison in comparisons} >= {"onnxruntime", "opencv"}
    assert all(c.passed and c.detections for c in comparisons)
    assert comparisons[0].reference == "itself on onnxruntime"


def test_a_single_file_that_cannot_run_says_so(shared: Path) -> None:
    file = shared / "reference/mnn/RFB-320-quant-KL-5792.mnn"
    if not get_backend("mnn").available():
        pytest.skip("needs MNN")
    with pytest.raises(BackendError, match="cannot run"):
        verify_file(file, embedded_images())


def test_a_single_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.mnn").write_bytes(b"x")
    with pytest.raises(InputError, match="is a single file, not an artifact folder"):
        ArtifactFolder.open(tmp_path / "a.mnn")


def test_execution_providers_that_are_not_there_are_named() -> None:
    from ultraface_deploy.backends.onnxruntime import BACKEND

    BACKEND.use("cpu")
    with pytest.raises(MissingDependency, match="`device` tensorrt"):
        BACKEND.use("tensorrt")
    with pytest.raises(InputError, match="choose from cpu, cuda"):
        BACKEND.use("gpu")
