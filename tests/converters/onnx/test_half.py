"""FP16 ONNX: FP32 outside, half the size, the same faces; and files whose input is FP16."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

onnx = pytest.importorskip("onnx", reason="writes ONNX files")


def test_fp16_keeps_fp32_outside_and_finds_the_same(tmp_path: Path) -> None:
    source = resolve_source(models.FOLDER / "slim-320.onnx")
    folder = convert(source, ["onnx"], "fp16", tmp_path / "out")
    half, full = folder.find("onnx", "fp16"), folder.find("onnx")
    assert half.bytes < 0.55 * full.bytes
    graph = onnx.load(str(folder.files(half)[0])).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    image = read_image(DEMO_PHOTO)
    found = Detector.open(folder.path, "onnxruntime", "fp16").detect(image)
    assert len(found) == len(Detector.open(folder.path, "onnxruntime").detect(image)) == 1


def test_a_foreign_file_with_fp16_input_is_read(tmp_path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(str(models.FOLDER / "slim-320.onnx")))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "half.onnx"))
    assert len(Detector.open(tmp_path / "half.onnx").detect(read_image(DEMO_PHOTO))) == 1


@pytest.mark.parametrize("opset", [17, 21])
def test_another_opset_on_request(tmp_path: Path, opset: int) -> None:
    source = resolve_source(models.FOLDER / "slim-320.onnx")
    folder = convert(source, ["onnx"], output=tmp_path / "out", opset=opset)
    model = onnx.load(str(folder.files(folder.find("onnx"))[0]))
    assert model.opset_import[0].version == opset
    assert len(Detector.open(folder.path).detect(read_image(DEMO_PHOTO))) == 1


@pytest.mark.parametrize("opset", [0, 8, 12, 99])
def test_an_opset_that_is_not_there_is_refused_before_work(tmp_path: Path, opset: int) -> None:
    source = resolve_source(models.FOLDER / "slim-320.onnx")
    with pytest.raises(InputError, match=f"--opset {opset}"):
        convert(source, ["onnx"], output=tmp_path / "out", opset=opset)
    assert not (tmp_path / "out").exists()
