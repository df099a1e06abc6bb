"""One answer to which artifact a backend runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ultraface_deploy.accuracy.subject import find_subjects
from ultraface_deploy.artifacts.choose import (
    best,
    choose_artifact,
    find_files,
    installed,
    runtimes_of,
)
from ultraface_deploy.artifacts.folder import ArtifactFolder, describe_files
from ultraface_deploy.artifacts.plan import find_step
from ultraface_deploy.artifacts.verify import verify_folder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.plan import configurations
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.images import embedded_images


@pytest.fixture
def with_int8(folder: ArtifactFolder) -> ArtifactFolder:
    """A folder with an entry for INT8 ONNX, its file a copy of the FP32 one."""
    (onnx,) = folder.files(folder.find("onnx"))
    name = f"{folder.spec.name}.int8.onnx"
    with folder.scratch() as scratch:
        made = Path(shutil.copyfile(onnx, scratch / name))
        return folder.publish(describe_files("onnx", "int8", {name: made}), [made], {})


def test_names_in_the_order_of_the_registry() -> None:
    assert [backend.name for backend in runtimes_of("onnx")] == ["onnxruntime", "opencv"]
    assert [backend.name for backend in runtimes_of("onnx", "int8")] == ["onnxruntime"]
    assert [backend.name for backend in runtimes_of("caffe")] == ["opencv", "caffe"]
    assert runtimes_of("gone") == []


def test_all_commands_leave_opencv_out_for_int8(with_int8: ArtifactFolder) -> None:
    path = with_int8.path
    pairs = {("onnx-int8", "onnxruntime")}
    verified = verify_folder(with_int8, list(embedded_images())[:1])
    assert {(r.artifact, r.backend) for r in verified if r.artifact == "onnx-int8"} == pairs
    timed = configurations([path], None, None)
    assert {(c.artifact.id, c.backend) for c in timed if c.artifact.precision == "int8"} == pairs
    evaluated = find_subjects(path, ["all"], ["int8"])
    assert {(s.artifact, s.backend) for s in evaluated} == pairs
    assert Detector.open(path, precision="int8").backend.name == "onnxruntime"
    for refused in (
        lambda: Detector.open(path, "opencv", "int8"),
        lambda: find_subjects(path, ["opencv"], ["int8"]),
        lambda: configurations([path], ["opencv"], ["int8"]),
        lambda: Detector.open(path / f"{with_int8.spec.name}.int8.onnx", "opencv"),
    ):
        with pytest.raises(InputError, match=r"opencv does not run int8|no int8 .* for opencv"):
            refused()
    assert find_step(get_backend("opencv"), "int8") is None


def test_the_format_it_runs_best(folder: ArtifactFolder) -> None:
    found = best(folder, get_backend("opencv"), "fp32")
    assert found is not None
    assert found.id == "onnxsim"
    assert best(folder, get_backend("mnn"), "int8") is None


def test_the_original_only_by_name(folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_artifact(folder, "torch", "fp32")[1].id == "torch"
    for name in ("onnxruntime", "mnn", "ncnn", "opencv"):
        monkeypatch.setattr(type(get_backend(name)), "available", lambda self: False)
    with pytest.raises(InputError, match="no fp32 artifact for any installed backend"):
        choose_artifact(folder, None, "fp32")
    with pytest.raises(MissingDependency, match="backend onnxruntime needs"):
        installed("onnx")
    with pytest.raises(MissingDependency, match="no backend reads gone in int8"):
        installed("gone", "int8")


def test_a_name_of_the_registry_says_how_it_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_CACHE", str(tmp_path))
    name = Path("published-slim-320")
    with pytest.raises(InputError, match=r"ultraface-deploy convert published-slim-320 --to all"):
        find_files(name, "onnxruntime", "fp32", None, None)
    with pytest.raises(InputError, match=r"ultraface-deploy models pull published-slim-320"):
        find_files(name, "torch", "fp32", None, None)


def test_only_what_was_verified_is_loaded_without_a_trial(
    folder: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[Path, ...]] = []
    monkeypatch.setattr(
        "ultraface_deploy.artifacts.recognition.prove_harmless",
        lambda runtime, record, files, spec: tried.append(tuple(files)),
    )
    (file,) = folder.files(folder.find("mnn"))

    def find_both_ways() -> None:
        find_files(folder.path, "mnn", "fp32", None, None)
        find_files(file, None, "fp32", None, None)

    find_both_ways()
    assert tried == []
    unknown = replace(folder.find("mnn"), verification=None)
    replace(folder, artifacts=(unknown,))._write()
    find_both_ways()
    assert tried == [(file,)] * 2
