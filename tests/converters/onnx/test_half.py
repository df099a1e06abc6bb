"""FP16 ONNX: FP32 outside, half the size, the same faces; and files whose input is FP16."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.converters.onnx.opset import set_opset
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Head
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


@pytest.mark.parametrize("nodes", [False, True])
def test_of_a_foreign_fp16_file_all_is_made_in_fp32(tmp_path: Path, nodes: bool) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(str(models.FOLDER / "slim-320.onnx")))
    del model.metadata_props[:]
    halves = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    if nodes:
        for weights in model.graph.initializer:
            node = onnx.helper.make_node("Constant", [], [weights.name], value=weights)
            model.graph.node.insert(0, node)
        del model.graph.initializer[:]
    onnx.save(model, str(tmp_path / "half.onnx"))
    folder = convert(resolve_source(tmp_path / "half.onnx"), ["onnxsim"], output=tmp_path / "out")
    (file,) = folder.files(folder.find("onnx"))
    made = onnx.load(str(file)).graph
    tensors = [
        *made.initializer,
        *(a.t for n in made.node for a in n.attribute if a.type == a.TENSOR),
    ]
    assert onnx.TensorProto.FLOAT16 not in {each.data_type for each in tensors}
    found = {each.name: onnx.numpy_helper.to_array(each) for each in made.initializer}
    assert nodes or all((found[name] == halves[name]).all() for name in halves)
    assert folder.find("onnxsim").verified
    assert len(Detector.open(folder.path).detect(read_image(DEMO_PHOTO))) == 1


@pytest.mark.parametrize(
    ("opset", "head"), [(9, "decoded"), (10, "raw"), (11, "raw"), (12, "decoded"), (20, "raw")]
)
def test_another_opset_on_request(tmp_path: Path, opset: int, head: Head) -> None:
    source = resolve_source(models.FOLDER / "slim-320.onnx", head=head)
    folder = convert(source, ["onnx"], output=tmp_path / "out", opset=opset)
    model = onnx.load(str(folder.files(folder.find("onnx"))[0]))
    assert model.opset_import[0].version == opset
    assert len(Detector.open(folder.path).detect(read_image(DEMO_PHOTO))) == 1


def test_what_is_made_after_an_old_opset_is_made_as_ever(tmp_path: Path) -> None:
    source = resolve_source(models.FOLDER / "rfb-320.onnx")
    folder = convert(source, ["onnxsim", "tflite"], output=tmp_path / "out", opset=11)
    model = onnx.load(str(folder.files(folder.find("onnxsim"))[0]))
    assert (model.opset_import[0].version, model.ir_version) == (11, 6)
    again = convert(resolve_source(folder.path), ["onnx"], "fp16", folder.path)
    assert again.find("onnx", "fp16").verified


def test_a_softmax_that_an_old_opset_does_not_have_is_refused() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 7, opset_import: ["" : 13]> g (float[1,4,2] x) => (float[1,4,2] y) '
        "{ y = Softmax <axis = 1> (x) }"
    )
    with pytest.raises(InputError, match="softmax over axis 1"):
        set_opset(model, 12)


@pytest.mark.parametrize("opset", [0, 8, 99])
def test_an_opset_that_is_not_there_is_refused_before_work(tmp_path: Path, opset: int) -> None:
    source = resolve_source(models.FOLDER / "slim-320.onnx")
    with pytest.raises(InputError, match=f"`opset` {opset}"):
        convert(source, ["onnx"], output=tmp_path / "out", opset=opset)
    assert not (tmp_path / "out").exists()


def test_a_foreign_file_whose_nodes_are_not_in_order_is_taken_in(tmp_path: Path) -> None:
    """ONNX Runtime's conversion to FP16 puts the casts of the input at the end."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from ultraface_deploy.converters.onnx.files import load

    model = onnx.load(str(models.FOLDER / "slim-320.onnx"))
    model = convert_float_to_float16(model, keep_io_types=True)
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "half.onnx"))
    folder = convert(resolve_source(tmp_path / "half.onnx"), ["onnx"], output=tmp_path / "out")
    assert folder.find("onnx").verified
    # What reads its own output has no order.
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]
    onnx.save(model, str(tmp_path / "circle.onnx"))
    with pytest.raises(InputError, match=r"circle\.onnx: not an ONNX model, or damaged"):
        load(tmp_path / "circle.onnx")
