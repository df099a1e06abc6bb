"""Our own TensorFlow Lite writer against ONNX Runtime and torch, run by LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import Convert, MakeCheckpoint, noise
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import Conversion, get_format
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Architecture, Head
from ultraface_deploy.pipeline import preprocess

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from ultraface_deploy.converters.tflite.network import Numbers
from ultraface_deploy.converters.tflite.translate import translate


@pytest.mark.parametrize("head", ["raw", "decoded"])
@pytest.mark.parametrize("architecture", ["slim", "rfb"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("fp16", 5e-2)])
def test_computes_what_onnx_computes(
    converted: Convert,
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    architecture: Architecture,
    head: Head,
    precision: Precision,
    tolerance: float,
) -> None:
    # 99x65: maps of odd sides, where SAME is torch's padding, and of even ones, where it is not.
    folder = converted(make_checkpoint(architecture), "onnxsim", size=(99, 65), head=head)
    source = folder.files(folder.find("onnxsim"))
    made = (tmp_path / "net.tflite",)
    get_format("tflite").convert(Conversion(source, folder.spec, precision, made))

    tensor = preprocess(noise(200, 150), folder.spec)
    found = get_backend("litert").load(made, folder.spec, precision=precision).run(tensor)
    wanted = get_backend("onnxruntime").load(source, folder.spec).run(tensor)
    for name in ("scores", "boxes"):
        np.testing.assert_allclose(found[name], wanted[name], atol=tolerance)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(4, 19), st.integers(4, 19)),
    kernel=st.sampled_from([1, 2, 3, 5]),
    stride=st.sampled_from([1, 2, 3]),
    dilation=st.sampled_from([1, 2, 3]),
    padding=st.integers(0, 4),
    depthwise=st.booleans(),
)
def test_padding_is_torchs(
    size: tuple[int, int], kernel: int, stride: int, dilation: int, padding: int, depthwise: bool
) -> None:
    torch = pytest.importorskip("torch", reason="torch is the reference")
    reach = (kernel - 1) * dilation + 1
    if min(size) + 2 * padding < reach or (stride > 1 and dilation > 1):
        return  # nothing comes out, or TensorFlow Lite has no such operator
    generator = np.random.default_rng(0)
    groups = 4 if depthwise else 1
    weight = generator.normal(size=(4, 4 // groups, kernel, kernel)).astype(np.float32)
    bias = generator.normal(size=4).astype(np.float32)
    source = generator.normal(size=(1, 4, *size)).astype(np.float32)
    wanted = torch.conv2d(
        *map(torch.from_numpy, (source, weight, bias)), stride, padding, dilation, groups
    ).numpy()
    node = helper.make_node(
        "Conv",
        ["input", "weight", "bias"],
        ["output"],
        name="conv",
        pads=[padding] * 4,
        strides=[stride] * 2,
        dilations=[dilation] * 2,
        group=groups,
    )
    model = one_node(node, source.shape, wanted.shape, {"weight": weight, "bias": bias})
    (found,) = run(translate(model, Numbers(), {}, ""), source.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), wanted, atol=1e-4)


def test_an_operator_without_translation_is_named() -> None:
    node = helper.make_node("Tanh", ["input"], ["output"], name="strange")
    with pytest.raises(InputError, match="operator Tanh at node strange"):
        translate(one_node(node, (1, 3, 4, 4), (1, 3, 4, 4), {}), Numbers(), {}, "")


@pytest.mark.parametrize(
    ("node", "shape", "result", "constants", "message"),
    [
        (("Transpose", {"perm": [0, 3, 1, 2]}), (1, 2, 3, 4), (1, 4, 2, 3), {}, "transposes"),
        (("Reshape", {}), (1, 2, 3, 4), (1, 6, 4), {"shape": np.array([1, -1, 4])}, "reshapes"),
        (("Softmax", {"axis": 1}), (1, 2, 3), (1, 2, 3), {}, "another axis"),
        (("Add", {}), (1, 2, 3, 4), (1, 2, 3, 4), {"one": np.ones(1, np.float32)}, "constant"),
    ],
)
def test_what_would_come_out_wrong_is_refused(
    node: tuple[str, dict[str, Any]],
    shape: tuple[int, ...],
    result: tuple[int, ...],
    constants: dict[str, Any],
    message: str,
) -> None:
    kind, attributes = node
    made = helper.make_node(kind, ["input", *constants], ["output"], name="it", **attributes)
    with pytest.raises(InputError, match=message):
        translate(one_node(made, shape, result, constants), Numbers(), {}, "")


def test_the_file_says_what_it_is(
    converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = converted(make_checkpoint(), "onnxsim", size=(128, 96))
    made = tmp_path / "net.tflite"
    source = folder.files(folder.find("onnxsim"))
    get_format("tflite").convert(Conversion(source, folder.spec, "fp32", (made,)))
    assert get_format("tflite").stated_spec([made]) == folder.spec
    signature = Interpreter(model_path=str(made)).get_signature_list()["serving_default"]
    assert signature == {"inputs": ["input"], "outputs": ["boxes", "scores"]}
    content = made.read_bytes()
    assert content[4:8] == b"TFL3"
    model = schema.Model.GetRootAs(content)
    assert b"(1, 96, 128, 3) RGB float, (x - 127) / 128" in model.Description()
    for index in range(1, model.BuffersLength()):
        start = model.Buffers(index)._tab.Offset(4)
        assert model.Buffers(index)._tab.Vector(start) % 16 == 0


def test_halves_ask_for_half_arithmetic(
    converted: Convert, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    from ultraface_deploy.converters.tflite.read import read_metadata

    folder = converted(make_checkpoint(), "onnxsim", size=(128, 96))
    made = tmp_path / "net.tflite"
    source = folder.files(folder.find("onnxsim"))
    get_format("tflite").convert(Conversion(source, folder.spec, "fp16", (made,)))
    assert read_metadata(made, "reduced_precision_support") == b"fp16accfp16"


def one_node(
    node: onnx.NodeProto,
    shape: tuple[int, ...],
    result: tuple[int, ...],
    constants: dict[str, Any],
) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, result)
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "net", [given], [output], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def run(content: bytes, source: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], np.ascontiguousarray(source)
    )
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
