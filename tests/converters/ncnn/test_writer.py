"""Our own ncnn writer against ONNX Runtime, and against what pnnx makes of the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.conftest import Convert, MakeCheckpoint, noise
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import Conversion, get_format
from ultraface_deploy.converters.ncnn import convert as ncnn
from ultraface_deploy.converters.ncnn.writer import write_ncnn
from ultraface_deploy.converters.onnx.files import load
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Architecture, Head
from ultraface_deploy.pipeline import preprocess

pytest.importorskip("ncnn", reason="ncnn is not installed")


@pytest.mark.parametrize("head", ["raw", "decoded"])
@pytest.mark.parametrize("architecture", ["slim", "rfb"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("fp16", 5e-2)])
def test_computes_what_onnx_computes(
    converted: Convert,
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    architecture: Architecture,
    head: Head,
    precision: Precision,
    tolerance: float,
) -> None:
    monkeypatch.setattr(ncnn, "_pnnx", lambda: None)
    folder = converted(make_checkpoint(architecture), "onnxsim", size=(128, 96), head=head)
    source = folder.files(folder.find("onnxsim"))
    made = (tmp_path / "net.param", tmp_path / "net.bin")
    get_format("ncnn").convert(Conversion(source, folder.spec, precision, made))

    tensor = preprocess(noise(200, 150), folder.spec)
    found = get_backend("ncnn").load(made, folder.spec, precision=precision).run(tensor)
    wanted = get_backend("onnxruntime").load(source, folder.spec).run(tensor)
    for name in ("scores", "boxes"):
        np.testing.assert_allclose(found[name], wanted[name], atol=tolerance)


def test_weights_take_the_room_that_pnnx_gives_them(
    converted: Convert, make_checkpoint: MakeCheckpoint
) -> None:
    pytest.importorskip("pnnx", reason="pnnx is not installed")
    folder = converted(make_checkpoint("rfb"), "onnxsim", "ncnn", size=(128, 96))
    model = load(folder.files(folder.find("onnxsim"))[0])
    _, content = write_ncnn(model)
    assert len(content) == folder.files(folder.find("ncnn"))[1].stat().st_size


def test_an_operator_without_translation_is_named() -> None:
    node = helper.make_node("Tanh", ["input"], ["output"], name="strange")
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4])
        for name in ("input", "output")
    ]
    graph = helper.make_graph([node], "net", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    with pytest.raises(InputError, match="operator Tanh at node strange"):
        write_ncnn(model)
