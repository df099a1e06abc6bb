"""Single layers of foreign networks: ONNX Runtime, the NumPy layers and OpenCV agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from tests.converters.caffe.conftest import Array, noise, run_onnx
from tests.converters.caffe.executor import run_net
from ultraface_deploy.converters.caffe import read_caffe, write_caffe
from ultraface_deploy.converters.caffe.from_onnx import net_from_onnx
from ultraface_deploy.converters.caffe.to_onnx import onnx_from_net
from ultraface_deploy.errors import InputError

IMAGE = (1, 4, 9, 11)


def graph(text: str, shape: tuple[int, ...] = IMAGE, **constants: Any) -> onnx.ModelProto:
    """Build a model `x` -> `y` (and more) from ONNX's text syntax for nodes."""
    dims = ",".join(map(str, shape))
    outputs = "float y" if "y2" not in text else "float y, float y2"
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[{dims}] x) => ({outputs}) {{ {text} }}'
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def conv_weight(*shape: int) -> Array:
    return noise(shape, seed=1)


CASES = {
    "conv without bias": graph(
        "y = Conv <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 0]> (x, w)",
        w=conv_weight(6, 4, 3, 2),
    ),
    "conv dilated in groups": graph(
        "y = Conv <group = 2, dilations = [2, 2], pads = [2, 2, 2, 2]> (x, w, b)",
        w=conv_weight(6, 2, 3, 3),
        b=conv_weight(6),
    ),
    "exp": graph("y = Exp (x)"),
    "scalars": graph(
        "a = Mul (x, k) b = Add (a, k) c = Sub (k, b) y = Div (c, k)",
        k=np.float32(1.5),
    ),
    "per channel": graph("a = Mul (x, k) y = Add (a, k)", k=conv_weight(4, 1, 1)),
    "per channel shift": graph("y = Sub (x, k)", k=conv_weight(1, 4, 1, 1)),
    "per column": graph("y = Mul (x, k)", k=conv_weight(11)),
    "everywhere": graph(
        "a = Mul (x, k) y = Add (c, a)", k=conv_weight(9, 11), c=conv_weight(4, 1, 1)
    ),
    "eltwise": graph("r = Relu (x) s = Sub (x, r) y = Add (s, x)"),
    "slices": graph(
        "a = Slice (x, s0, e0, ax, st) b = Slice (x, s1, e1, ax, st) y = Concat <axis = 3> (b, a)",
        s0=np.array([0]),
        e0=np.array([3]),
        s1=np.array([-8]),
        e1=np.array([9999]),
        ax=np.array([3]),
        st=np.array([1]),
    ),
    "split": graph("a, y2 = Split <axis = 1> (x, parts) y = Exp (a)", parts=np.array([1, 3])),
    "reshapes": graph(
        "a = Transpose <perm = [0, 2, 3, 1]> (x) b = Reshape (a, dims) y = Softmax <axis = -1> (b)",
        dims=np.array([0, -1, 2]),
    ),
    "constant": graph("k = Constant <value_float = 2.0> () y = Mul (x, k)"),
}


@pytest.mark.parametrize("model", CASES.values(), ids=CASES)
def test_layers_agree(model: onnx.ModelProto, tmp_path: Path) -> None:
    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    tensor = noise(tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim))
    expected = run_onnx(model, tensor)
    write_caffe(model, prototxt, caffemodel)
    layers = run_net(net_from_onnx(model, "net"), {"x": tensor})
    back = run_onnx(read_caffe(prototxt, caffemodel), tensor)
    importer = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    importer.setInput(tensor)
    for name, value in expected.items():
        opencv = importer.forward(name) if name == "y" else value
        for other in (layers[name], back[name], opencv):
            assert other.shape == value.shape
            np.testing.assert_allclose(other, value, rtol=1e-5, atol=1e-5)


REFUSED = {
    "Resize at the node that computes 'y': Caffe does not offer a layer": graph(
        "y = Resize (x, , scales)", scales=np.array([1, 1, 2, 2], np.float32)
    ),
    "Div .*by one constant only": graph("a = Exp (x) y = Div (x, a)"),
    "Div .*divides by one constant": graph("y = Div (k, x)", k=np.float32(1)),
    "Mul .*by one constant only": graph("a = Exp (x) y = Mul (x, a)"),
    "Transpose .*otherwise than to channels last": graph("y = Transpose <perm = [0, 3, 1, 2]> (x)"),
    "Conv .*pads opposite sides alike": graph(
        "y = Conv <pads = [0, 0, 1, 1]> (x, w)", w=conv_weight(4, 4, 3, 3)
    ),
    "Conv .*auto_pad SAME_UPPER": graph(
        'y = Conv <auto_pad = "SAME_UPPER"> (x, w)', w=conv_weight(4, 4, 3, 3)
    ),
    "Conv .*its weight must be constant": graph("a = Exp (x) y = Conv (x, a)", (4, 4, 3, 3)),
    "Add .*does not broadcast": graph(
        "a, b = Split <axis = 1> (x, parts) y = Add (x, a)", parts=np.array([1, 3])
    ),
    "Add .*does not fit": graph("y = Add (x, k)", k=conv_weight(3, 4, 9, 11)),
    "Slice .*step 1": graph(
        "y = Slice (x, s, e, a, t)",
        s=np.array([0]),
        e=np.array([9]),
        a=np.array([3]),
        t=np.array([2]),
    ),
    "Slice .*that overlap": graph(
        "a = Slice (x, s, e, ax) b = Slice (x, s2, e, ax) y = Concat <axis = 3> (a, b)",
        s=np.array([0]),
        s2=np.array([3]),
        e=np.array([9]),
        ax=np.array([3]),
    ),
    "Concat .*is a constant": graph("y = Concat <axis = 1> (x, k)", k=conv_weight(1, 4, 9, 11)),
}


@pytest.mark.parametrize(("reason", "model"), REFUSED.items(), ids=REFUSED)
def test_what_caffe_lacks_is_refused_by_name(reason: str, model: onnx.ModelProto) -> None:
    with pytest.raises(InputError, match=f"Caffe cannot express {reason}"):
        net_from_onnx(model, "net")


def test_a_dynamic_input_is_refused() -> None:
    model = graph("y = Relu (x)")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(InputError, match="'x' has no fixed shape"):
        net_from_onnx(model, "net")


def test_an_output_that_is_a_constant_is_refused() -> None:
    model = graph("z = Relu (x) y = Constant <value_float = 1.0> ()")
    with pytest.raises(InputError, match="output 'y' is computed by no node"):
        net_from_onnx(model, "net")


def test_weights_in_old_files_that_are_inputs_too() -> None:
    model = graph("y = Conv (x, w)", w=conv_weight(4, 4, 3, 3))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, (4, 4, 3, 3)))
    assert [layer.type for layer in net_from_onnx(model, "net").layer] == ["Input", "Convolution"]


def check_round_trip(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    tensor = noise(shape)
    expected = run_onnx(model, tensor)["y"]
    net = net_from_onnx(model, "net")
    layers = run_net(net, {"x": tensor})["y"]
    back = run_onnx(onnx_from_net(net), tensor)["y"]
    assert layers.shape == back.shape == expected.shape
    np.testing.assert_allclose(layers, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(back, expected, rtol=1e-6, atol=1e-6)


small = st.integers(1, 4)


@settings(max_examples=40, deadline=None)
@given(
    groups=small,
    widths=st.tuples(small, small),
    kernel=st.tuples(small, small),
    stride=st.tuples(small, small),
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
)
def test_any_convolution(
    groups: int,
    widths: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
) -> None:
    shape = (2, groups * widths[0], *size)
    model = graph(
        f"y = Conv <group = {groups}, strides = {list(stride)}, dilations = {list(dilation)}, "
        f"pads = {[*pad, *pad]}> (x, w)",
        shape,
        w=conv_weight(groups * widths[1], widths[0], *kernel),
    )
    check_round_trip(model, shape)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_any_constant_that_broadcasts(data: st.DataObject, shape: list[int]) -> None:
    rank = data.draw(st.integers(0, len(shape)))
    kept = data.draw(st.lists(st.booleans(), min_size=rank, max_size=rank))
    extents = [d if keep else 1 for d, keep in zip(shape[len(shape) - rank :], kept, strict=True)]
    constant = np.asarray(conv_weight(*extents) + 2, np.float32)
    check_round_trip(
        graph("a = Mul (x, k) b = Add (k, a) y = Sub (b, k)", tuple(shape), k=constant),
        tuple(shape),
    )
