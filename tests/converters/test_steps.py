"""The registry of converters, and each step's own ways to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.converters import Conversion, get_format, target_names
from ultraface_deploy.converters.mnn.convert import convert_onnx
from ultraface_deploy.converters.ncnn.convert import rename_blobs
from ultraface_deploy.errors import InputError, MissingDependency, ToolFailed, UltraFaceError
from ultraface_deploy.family.spec import ModelSpec

SPEC = ModelSpec("net", "slim", 128, 96)


def job(folder: Path, source: Path, name: str) -> Conversion:
    outputs = tuple(folder / f"net{suffix}" for suffix in get_format(name).suffixes)
    return Conversion((source,), SPEC, "fp32", outputs)


def test_names() -> None:
    assert target_names()[:5] == ("onnx", "onnxsim", "mnn", "ncnn", "caffe")
    for name in target_names():
        assert get_format(name).name == name
    with pytest.raises(InputError, match="format halo: unknown; choose from onnx, onnxsim"):
        get_format("halo")


@pytest.mark.parametrize("name", ["onnxsim", "mnn", "ncnn"])
@pytest.mark.parametrize("content", [b"text\n", b"", bytes(500)], ids=["text", "empty", "zeros"])
def test_source_that_is_no_model(tmp_path: Path, name: str, content: bytes) -> None:
    source = tmp_path / "broken.onnx"
    source.write_bytes(content)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UltraFaceError) as failed:
        get_format(name).convert(job(out, source, name))
    assert "\n" not in str(failed.value)
    assert failed.value.exit_code in (1, 2)


def test_precision_that_a_format_lacks(tmp_path: Path) -> None:
    wanted = Conversion((tmp_path / "x",), SPEC, "fp16", (tmp_path / "y",))
    with pytest.raises(InputError, match="caffe does not offer fp16; it offers fp32"):
        get_format("caffe").convert(wanted)


@pytest.mark.parametrize("name", ["onnx", "onnxsim", "mnn", "ncnn"])
def test_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    converter = get_format(name)
    monkeypatch.setattr("ultraface_deploy.converters.base.find_spec", lambda package: None)
    with pytest.raises(MissingDependency, match=rf"'{converter.packages[0]}': pip install"):
        converter.convert(job(tmp_path, tmp_path / "x.onnx", name))


def test_mnn_converter_that_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="MNN converter"):
        convert_onnx(tmp_path / "gone.onnx", tmp_path / "out.mnn")


def test_relative_paths(
    converted: Convert,
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Native tools run elsewhere, where a relative path would mean nothing."""
    folder = converted(make_checkpoint(), "onnxsim", size=(128, 96))
    source = folder.files(folder.find("onnxsim"))[0]
    (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.chdir(tmp_path)
    get_format("mnn").convert(job(Path(), Path(source.name), "mnn"))
    assert Path("net.mnn").stat().st_size > 0


def test_no_scratch_is_left(converted: Convert, make_checkpoint: MakeCheckpoint) -> None:
    folder: ArtifactFolder = converted(
        make_checkpoint(), "onnx", "onnxsim", "mnn", "ncnn", size=(128, 96)
    )
    files = {name for artifact in folder.artifacts for name in artifact.files}
    found = (path for path in folder.path.rglob("*") if path.is_file())
    on_disk = {path.relative_to(folder.path).as_posix() for path in found}
    assert on_disk - files <= {"manifest.json", ".lock"}


def test_ncnn_blobs_have_our_names(converted: Convert, make_checkpoint: MakeCheckpoint) -> None:
    folder = converted(make_checkpoint(), "ncnn", size=(128, 96))
    param = folder.files(folder.find("ncnn"))[0].read_text()
    first, second, *layers = param.splitlines()
    assert first == "7767517"
    assert int(second.split()[0]) == len(layers)
    assert layers[0].split() == ["Input", "input", "0", "1", "input", "0=128", "1=96", "2=3"]
    assert " scores" in param
    assert " boxes" in param
    assert "in0" not in param
    assert "out0" not in param


def test_renaming_touches_whole_words_only() -> None:
    param = "7767517\n2 2\nInput in0 0 1 in0\nReLU out01 1 1 in0 out0\n"
    lines = rename_blobs(param, SPEC).splitlines()
    assert lines[1] == "2 2"
    assert lines[3].split() == ["ReLU", "out01", "1", "1", "input", "scores"]
