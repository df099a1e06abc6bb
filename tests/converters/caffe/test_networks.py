"""The UltraFace networks through Caffe and back, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from tests.converters.caffe.conftest import Simplified, make_spec, noise, run_onnx
from tests.converters.caffe.executor import run_net
from ultraface_deploy.converters.caffe import read_caffe, write_caffe
from ultraface_deploy.converters.caffe.reader import input_size, read_net, read_prototxt
from ultraface_deploy.converters.caffe.writer import prototxt_text
from ultraface_deploy.family.spec import ModelSpec

# Both heads, sizes and numbers of classes with each network, and two sizes no stride divides.
SPECS = [
    make_spec("slim", (320, 240)),
    make_spec("slim", (320, 240), 3, "decoded"),
    make_spec("slim", (640, 480), 3),
    make_spec("slim", (640, 480), head="decoded"),
    make_spec("rfb", (320, 240), 3),
    make_spec("rfb", (320, 240), head="decoded"),
    make_spec("rfb", (640, 480)),
    make_spec("rfb", (640, 480), 3, "decoded"),
    make_spec("rfb", (200, 130)),
    make_spec("slim", (65, 99), 3, "decoded"),
]


@pytest.mark.parametrize(
    "spec",
    SPECS,
    ids=lambda s: f"{s.architecture}-{s.width}x{s.height}-{s.num_classes}-{s.head}",
)
def test_every_reader_computes_what_onnx_computes(
    spec: ModelSpec, random_network: Simplified, tmp_path: Path
) -> None:
    model = random_network(spec)
    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(model, prototxt, caffemodel)
    tensor = noise(spec.input_shape)
    expected = run_onnx(model, tensor)

    net = read_net(prototxt, caffemodel)
    layers = run_net(net, {"input": tensor})
    back = run_onnx(read_caffe(prototxt, caffemodel), tensor)
    importer = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    importer.setInput(tensor)
    names = importer.getUnconnectedOutLayersNames()
    opencv = dict(zip(names, importer.forward(names), strict=True))

    for outputs in (layers, back, opencv):
        assert set(outputs) == {"scores", "boxes"}
        for name, value in expected.items():
            assert outputs[name].shape == value.shape
            # Offsets of these random networks reach 30, ten times those of trained ones.
            np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-4)
    for name, value in expected.items():
        np.testing.assert_array_equal(back[name], value)


def test_layer_names_follow_the_modules(random_network: Simplified, tmp_path: Path) -> None:
    prototxt = tmp_path / "net.prototxt"
    write_caffe(random_network(make_spec("rfb")), prototxt, tmp_path / "net.caffemodel")
    names = {layer.name: layer.type for layer in read_prototxt(prototxt).layer}
    expected = {
        "input": "Input",
        "base_net.0.0": "Convolution",
        "base_net.0.0/relu": "ReLU",
        "base_net.7.branch0.1.conv": "Convolution",
        "base_net.7/concat": "Concat",
        "base_net.7/add": "Eltwise",
        "base_net.7/relu": "ReLU",
        "extras.0.2.2": "Convolution",
        "classification_headers.0.2/permute": "Permute",
        "classification_headers.3/reshape": "Reshape",
        "classification_headers/concat": "Concat",
        "boxes": "Concat",
        "scores": "Softmax",
    }
    assert expected.items() <= names.items()


def test_prototxt_states_each_layer_on_few_lines(
    random_network: Simplified, tmp_path: Path
) -> None:
    prototxt = tmp_path / "net.prototxt"
    write_caffe(random_network(make_spec()), prototxt, tmp_path / "net.caffemodel", "made\nfor us")
    text = prototxt.read_text()
    assert text.startswith('# made\n# for us\nname: "net"\nlayer {\n  name: "input"\n')
    assert (
        "layer {\n"
        '  name: "base_net.1.0"\n'
        '  type: "Convolution"\n'
        '  bottom: "base_net.0.0/relu"\n'
        '  top: "base_net.1.0"\n'
        "  convolution_param { num_output: 16 pad: 1 kernel_size: 3 group: 16 }\n"
        "}\n"
    ) in text
    assert input_size(prototxt) == (128, 96)


def test_writing_twice_gives_the_same_bytes(random_network: Simplified, tmp_path: Path) -> None:
    pairs = [
        (tmp_path / f"{n}" / "net.prototxt", tmp_path / f"{n}" / "net.caffemodel") for n in "ab"
    ]
    for pair in pairs:
        pair[0].parent.mkdir()
        write_caffe(random_network(make_spec()), *pair)
    for first, second in zip(*pairs, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_a_caffe_onnx_caffe_round_trip_keeps_every_layer(
    random_network: Simplified, tmp_path: Path
) -> None:
    pairs = [(tmp_path / n / "net.prototxt", tmp_path / n / "net.caffemodel") for n in ("a", "b")]
    for pair in pairs:
        pair[0].parent.mkdir()
    write_caffe(random_network(make_spec("rfb", head="decoded")), *pairs[0])
    write_caffe(read_caffe(*pairs[0]), *pairs[1])
    assert pairs[0][1].read_bytes() == pairs[1][1].read_bytes()
    assert prototxt_text(read_prototxt(pairs[1][0])) == pairs[0][0].read_text()


def test_a_failed_write_leaves_an_earlier_pair_alone(
    random_network: Simplified, tmp_path: Path
) -> None:
    from ultraface_deploy.errors import InputError

    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text("old")
    caffemodel.write_bytes(b"old")
    model = onnx.ModelProto()
    model.CopyFrom(random_network(make_spec()))
    next(node for node in model.graph.node if node.op_type == "Softmax").op_type = "Hardmax"
    with pytest.raises(InputError, match=r"Caffe cannot express Hardmax at node '.*Softmax"):
        write_caffe(model, prototxt, caffemodel)
    assert prototxt.read_text() == "old"
    assert caffemodel.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.caffemodel", "net.prototxt"]
