"""Reading pairs: old and hand-written files, and everything that can be wrong with a file."""

from __future__ import annotations

import resource
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.converters.caffe.conftest import Pair, noise, run_onnx
from ultraface_deploy.converters.caffe import read_caffe
from ultraface_deploy.converters.caffe.reader import (
    input_size,
    read_caffemodel,
    read_net,
    read_prototxt,
)
from ultraface_deploy.converters.caffe.schema import NetParameter
from ultraface_deploy.errors import InputError

# One 1x1 convolution of two channels into one, weights 2 and -1, bias 0.5, byte by byte: the wire
# format of protobuf with the field numbers of the public caffe.proto.
FLOATS = struct.pack("<2f", 2, -1)
WEIGHT = b"\x2a\x08" + FLOATS + b"\x3a\x06\x0a\x04\x01\x02\x01\x01"  # data 5, shape 7
BIAS = b"\x2a\x04" + struct.pack("<f", 0.5) + b"\x3a\x03\x0a\x01\x01"
LAYER = (
    b"\x0a\x04conv"  # name 1
    b"\x12\x0bConvolution"  # type 2
    + b"".join(b"\x3a" + bytes([len(blob)]) + blob for blob in (WEIGHT, BIAS))  # blobs 7
)
CAFFEMODEL = b"\x0a\x03net" + b"\xa2\x06" + bytes([len(LAYER)]) + LAYER  # name 1, layer 100

NO_WEIGHTS = b"\xa2\x06\x06\x0a\x04conv"

PROTOTXT = """
name: "net"  # as a person writes it
input: "data"
input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 5
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 1 kernel_size: 1 weight_filler { type: "xavier" } engine: CUDNN }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "twice" type: "Power" bottom: "conv" top: "conv" power_param { scale: 2 } }
"""


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(PROTOTXT)
    caffemodel.write_bytes(CAFFEMODEL)
    return prototxt, caffemodel


def test_a_hand_made_pair_with_old_inputs_and_layers_in_place(pair: Pair) -> None:
    model = read_caffe(*pair)
    tensor = noise((1, 2, 3, 5))
    expected = 2 * np.maximum(2 * tensor[:, :1] - tensor[:, 1:] + 0.5, 0)
    outputs = run_onnx(model, tensor)
    assert list(outputs) == ["conv"]
    np.testing.assert_allclose(outputs["conv"], expected, rtol=1e-6)
    assert input_size(pair[0]) == (5, 3)


def test_blobs_in_the_four_extents_of_old_files(pair: Pair) -> None:
    weights = NetParameter.FromString(CAFFEMODEL)
    for blob, extents in zip(weights.layer[0].blobs, [(1, 2, 1, 1), (1, 1, 1, 1)], strict=True):
        blob.ClearField("shape")
        blob.num, blob.channels, blob.height, blob.width = extents
    expected = run_onnx(read_caffe(*pair), noise((1, 2, 3, 5)))
    pair[1].write_bytes(weights.SerializeToString())
    np.testing.assert_array_equal(
        run_onnx(read_caffe(*pair), noise((1, 2, 3, 5)))["conv"], expected["conv"]
    )


LAYERS = {
    "Reshape of some axes": (
        'type: "Reshape" reshape_param { axis: 1 num_axes: 2 shape { dim: -1 } }',
        (1, 6, 5),
    ),
    "Reshape appends an axis": (
        'type: "Reshape" reshape_param { axis: -1 num_axes: 0 shape { dim: 1 } }',
        (1, 2, 3, 5, 1),
    ),
    "Slice": ('type: "Slice" top: "rest" slice_param { axis: 1 }', (1, 1, 3, 5)),
}


@pytest.mark.parametrize(("parameters", "shape"), LAYERS.values(), ids=LAYERS)
def test_layers_that_only_others_write(
    parameters: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    from tests.converters.caffe.executor import run_net

    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(
        'input: "data" input_shape { dim: 1 dim: 2 dim: 3 dim: 5 }\n'
        f'layer {{ name: "l" bottom: "data" top: "out" {parameters} }}\n'
    )
    caffemodel.write_bytes(NO_WEIGHTS)
    tensor = noise((1, 2, 3, 5))
    result = run_onnx(read_caffe(prototxt, caffemodel), tensor)["out"]
    assert result.shape == shape
    net = read_prototxt(prototxt)
    np.testing.assert_allclose(run_net(net, {"data": tensor})["out"], result, rtol=1e-6, atol=1e-6)


UNSUPPORTED = {
    "permutes by": 'type: "Permute" permute_param { order: 0 order: 3 }',
    "power of 2": 'type: "Power" power_param { power: 2 }',
    "e to the power": 'type: "Exp" exp_param { base: 2 }',
    "slope below zero": 'type: "ReLU" relu_param { negative_slope: 0.1 }',
    "coefficients": 'type: "Eltwise" bottom: "data" eltwise_param { coeff: 2 coeff: -0.5 }',
    "PROD": 'type: "Eltwise" bottom: "data" eltwise_param { operation: PROD }',
    "'Pooling', which cannot be translated": 'type: "Pooling"',
}


@pytest.mark.parametrize(("reason", "parameters"), UNSUPPORTED.items(), ids=UNSUPPORTED)
def test_what_these_networks_do_not_have_is_refused(
    reason: str, parameters: str, tmp_path: Path
) -> None:
    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(
        'input: "data" input_shape { dim: 1 dim: 2 dim: 3 dim: 5 }\n'
        f'layer {{ name: "l" bottom: "data" top: "out" {parameters} }}\n'
    )
    caffemodel.write_bytes(NO_WEIGHTS)
    with pytest.raises(InputError, match=reason):
        read_caffe(prototxt, caffemodel)


BAD_PROTOTXT = {
    "not a valid prototxt": "layer { name: }",
    "nested too deeply": "a {" * 100_000,
    "format before 2015": 'layers { name: "a" type: CONVOLUTION }',
    "holds no layers": 'name: "nothing"',
    "two layers are named 'a'": 'layer { name: "a" } layer { name: "a" }',
    "has the type 'Detectron', which cannot be translated": PROTOTXT.replace("ReLU", "Detectron"),
    "which no layer before it writes": PROTOTXT.replace('bottom: "data"', 'bottom: "x"'),
    r"layer 'conv' \(Convolution\): kernel": PROTOTXT.replace("kernel_size: 1", ""),
    r"layer 'conv' \(Convolution\): group": PROTOTXT.replace("_size: 1", "_size: 1 group: 7"),
    r"needs weights of shape \(4000000000, 2": PROTOTXT.replace("output: 1", "output: 4000000000"),
    r"needs weights of shape \(1, 2, 3, 3\)": PROTOTXT.replace("kernel_size: 1", "kernel_size: 3"),
    "needs 1 blobs of weights and has 2": PROTOTXT.replace("kernel", "bias_term: false kernel"),
    r"would have the shape \(-1, 2, 3, 5\)": PROTOTXT.replace("input_dim: 1", "input_dim: -1"),
    "would have the shape": PROTOTXT.replace("input_dim: 5", "input_dim: 2000000000"),
    "has 0 bottoms where one is supported": PROTOTXT.replace('"ReLU" bottom: "conv"', '"ReLU"'),
    "has 2 bottoms where one": PROTOTXT.replace('"ReLU"', '"ReLU" bottom: "data"'),
    "has no top": PROTOTXT.replace('bottom: "conv" top: "conv" power', 'bottom: "conv" power'),
    "has 2 tops where it computes 1": PROTOTXT.replace('"ReLU"', '"ReLU" top: "again"'),
    "the prototxt has no such layer": PROTOTXT.replace('"conv" type', '"other" type'),
    "the prototxt calls it Power": PROTOTXT.replace('"Convolution"', '"Power"'),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "text"), BAD_PROTOTXT.items(), ids=BAD_PROTOTXT)
def test_a_bad_prototxt_is_refused(reason: str, text: str, pair: Pair) -> None:
    pair[0].write_text(text)
    with pytest.raises(InputError, match=reason) as caught:
        read_caffe(*pair)
    assert str(pair[0]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_that_computes_nothing_is_refused(pair: Pair) -> None:
    shape = "input_param { shape { dim: 1 } }"
    pair[0].write_text(f'layer {{ name: "conv" type: "Input" top: "x" {shape} }}')
    pair[1].write_bytes(NO_WEIGHTS)
    with pytest.raises(InputError, match="has no input or no output"):
        read_caffe(*pair)


def with_weights(**changes: object) -> bytes:
    net = NetParameter.FromString(CAFFEMODEL)
    blob = net.layer[0].blobs[0]
    for field, value in changes.items():
        blob.ClearField(field)
        (blob.shape.dim if field == "shape" else getattr(blob, field)).extend(value)
    return bytes(net.SerializeToString())


BAD_CAFFEMODEL = {
    "is empty": b"",
    "not a caffemodel, or damaged": CAFFEMODEL[:-3],
    "holds no layers": CAFFEMODEL[:5],
    "format before 2015": b"\x12\x06\x22\x04conv",
    "needs 2 blobs of weights and has 0": NO_WEIGHTS,
    r"weights of shape \(1, 3, 1, 1\) hold 2 values": with_weights(shape=[1, 3, 1, 1]),
    "weights of shape .* hold 2 values": with_weights(shape=[1 << 62, 1 << 62]),
    r"weights of shape \(-1, -2\)": with_weights(shape=[-1, -2]),
    "NaN or infinity": with_weights(data=[1.0, float("nan")]),
}


@pytest.mark.parametrize(("reason", "content"), BAD_CAFFEMODEL.items(), ids=BAD_CAFFEMODEL)
def test_a_bad_caffemodel_is_refused(reason: str, content: bytes, pair: Pair) -> None:
    pair[1].write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_caffe(*pair)
    assert "net." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(pair: Pair) -> None:
    pair[1].unlink()
    with pytest.raises(InputError, match=r"net\.caffemodel: no such caffemodel"):
        read_caffe(*pair)


@pytest.mark.parametrize("length", [5_000_000_000, 2**31 - 1, 2**31, 2**63, 100])
@pytest.mark.parametrize("field", ["layer", "blobs", "data"])
def test_a_length_beyond_the_file_allocates_nothing(field: str, length: int, pair: Pair) -> None:
    varint = b""
    rest = length
    while rest > 127:
        varint, rest = varint + bytes([rest & 127 | 128]), rest >> 7
    varint += bytes([rest])
    blob = b"\x2a" + varint + FLOATS
    blobs = b"\x3a" + (varint if field == "blobs" else bytes([len(blob)])) + blob
    layer = varint if field == "layer" else bytes([len(blobs)])
    pair[1].write_bytes(b"\xa2\x06" + layer + blobs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="not a caffemodel, or damaged"):
        read_caffe(*pair)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 50_000


def test_a_file_too_large_is_refused_unread(pair: Pair) -> None:
    for path, what in zip(pair, ("prototxt", "caffemodel"), strict=True):
        with path.open("r+b") as file:
            file.truncate(5_000_000_000)  # sparse: takes no room on the disk
        with pytest.raises(InputError, match=f"this is not a {what}"):
            (read_prototxt if what == "prototxt" else read_caffemodel)(path)


def test_pairs_of_two_networks_do_not_belong_together(small_pair: Pair, pair: Pair) -> None:
    with pytest.raises(InputError, match="does not belong to"):
        read_net(pair[0], small_pair[1])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_caffemodel_is_never_accepted(
    fraction: float, small_pair: Pair, tmp_path: Path
) -> None:
    content = small_pair[1].read_bytes()
    # The last layer holds no weights: cut before the last one that does.
    end = content.rindex(b"regression_headers.3") - 2000
    cut = tmp_path / "net.caffemodel"
    cut.write_bytes(content[: int(fraction * end)])
    with pytest.raises(InputError):
        read_caffe(small_pair[0], cut)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
)
def test_any_damage_is_read_or_refused_in_one_line(
    data: st.DataObject, edits: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    files = {"net.prototxt": bytearray(PROTOTXT.encode()), "net.caffemodel": bytearray(CAFFEMODEL)}
    damaged = data.draw(st.sampled_from(sorted(files)))
    for position, value in edits:
        files[damaged][position % len(files[damaged])] = value
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        read_caffe(folder / "net.prototxt", folder / "net.caffemodel")
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        shutil.rmtree(folder)
