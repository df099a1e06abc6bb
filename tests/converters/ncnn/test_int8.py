"""The INT8 files of our writer, computed by stock ncnn, against NumPy layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Convert
from tests.quantize.conftest import SIZE, Case
from tests.quantize.helpers import run_onnx, tensor_of
from ultraface_deploy.converters.ncnn.files import (
    ParamLine,
    TableRow,
    read_param,
    read_table,
    read_weights,
    write_param,
    write_table,
)
from ultraface_deploy.converters.ncnn.int8 import (
    NcnnModel,
    emit_ncnn,
    input_shifts,
    ncnn_table,
    plan_from_table,
)
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.plan import Plan, Scheme, make_plan

ncnn = pytest.importorskip("ncnn", reason="stock ncnn is what the files are for")


def load_model(case: Case) -> NcnnModel:
    return NcnnModel.load(*case.files("ncnn"), case.network)


def run_blobs(param: Path, weights: Path, tensor: np.ndarray, names: set[str]) -> dict[str, Any]:
    """Return blobs of a network as ncnn computes them."""
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.lightmode = False
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(weights)) == 0
    found = {}
    with net.create_extractor() as extractor:
        extractor.input("input", ncnn.Mat(tensor[0]))
        for name in sorted(names):
            status, mat = extractor.extract(name)
            assert status == 0
            found[name] = np.array(mat)
    return found


def int8_layer(
    line: ParamLine, x: np.ndarray, plan: Plan, name: str, bias: np.ndarray
) -> np.ndarray:
    """ncnn's INT8 convolution: round half away from zero, integer sums, then back to floats."""
    quantized = plan.quantized[name]
    shift = input_shifts(plan).get(quantized.layer.source)
    low, high = plan.ranges[quantized.layer.source]
    threshold = max(-low, high) if shift is None else shift
    scale = np.float32(127 / threshold)
    rounded = np.trunc(x * scale + np.copysign(np.float32(0.5), x)).clip(-127, 127)
    value = {key: int(line.parameters.get(key, default)) for key, default in DEFAULTS.items()}
    sums = convolve(rounded.astype(np.int64), quantized.weight.astype(np.int64), value)
    weight_scales = np.float32(1) / quantized.scales
    y = sums / (scale * weight_scales.astype(np.float64))[:, None, None] + bias[:, None, None]
    floor = {"1": 0.0, "3": -(input_shifts(plan).get(name) or 0.0)}
    activation = line.parameters.get("9")
    return y if activation is None else np.maximum(y, floor[activation])


# Kernel, dilation, stride, padding.
DEFAULTS = {"1": 1, "2": 1, "3": 1, "4": 0}


def convolve(x: np.ndarray, weight: np.ndarray, value: dict[str, int]) -> np.ndarray:
    """(C, H, W) with (out, in / groups, k, k), zeros around."""
    kernel, dilation, stride, padding = (value[key] for key in "1234")
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    reach = dilation * (kernel - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(1, 2))
    windows = windows[:, ::stride, ::stride, ::dilation, ::dilation]
    if weight.shape[1] == 1 and weight.shape[0] == x.shape[0]:
        return np.einsum("chwij,cij->chw", windows, weight[:, 0])
    columns = windows.transpose(1, 2, 0, 3, 4).reshape(*windows.shape[1:3], -1)
    flat = weight.reshape(len(weight), -1)
    # Sums of INT8 products are far below 2^53: floats add them exactly, and faster.
    return (columns.astype(np.float64) @ flat.T.astype(np.float64)).transpose(2, 0, 1)


def test_every_int8_layer_computes_ncnns_formula(
    case: Case, photos: list[Path], tmp_path: Path
) -> None:
    keep = ("base_net.0.0", "base_net.4.0", "base_net.5.3")
    plan = make_plan(case.network, case.table, Scheme("mse", keep))
    model = load_model(case)
    param, weights = tmp_path / "m.param", tmp_path / "m.bin"
    text, content = emit_ncnn(plan, model)
    param.write_text(text)
    weights.write_bytes(content)
    lines = [line for line in read_param(param) if line.name in model.layer_of]
    blobs = {blob for line in lines for blob in (*line.inputs, *line.outputs)}
    computed = run_blobs(param, weights, tensor_of(photos[0], case.spec), blobs)
    biases = stored_biases(plan)
    int8 = 0
    for line in lines:
        name = model.layer_of[line.name]
        assert ("8" in line.parameters) == (name in plan.quantized)
        if name in plan.quantized:
            wanted = int8_layer(line, computed[line.inputs[0]], plan, name, biases[name])
            found = computed[line.outputs[0]]
            # Depthwise layers on x86 divide by the processor's approximate reciprocal, 1.5 * 2^-12.
            precision = 4e-4 if line.type == "ConvolutionDepthWise" else 1e-5
            largest = np.abs(wanted - biases[name][:, None, None]).max()
            assert np.abs(found - wanted).max() <= 1e-5 + precision * largest, name
            int8 += 1
    assert int8 == len(case.network.layers) - len(keep)


def stored_biases(plan: Plan) -> dict[str, np.ndarray]:
    """What a bias must be: shifted with its output, and making up for its shifted input."""
    shifts = input_shifts(plan)
    biases = {}
    for layer in plan.network.layers:
        bias = layer.bias.astype(np.float64) - shifts.get(layer.name, 0.0)
        if layer.source in shifts and layer.name in plan.quantized:
            quantized = plan.quantized[layer.name]
            weight = quantized.weight.astype(np.float64) * quantized.scales[:, None, None, None]
            bias += weight.sum(axis=(1, 2, 3)) * shifts[layer.source]
        biases[layer.name] = bias
    return biases


def test_a_plan_without_int8_layers_is_the_fp32_network(
    case: Case, photos: list[Path], tmp_path: Path
) -> None:
    keep = tuple(layer.name for layer in case.network.layers)
    plan = make_plan(case.network, case.table, Scheme(keep=keep))
    text, content = emit_ncnn(plan, load_model(case))
    (tmp_path / "m.param").write_text(text)
    (tmp_path / "m.bin").write_bytes(content)
    tensor = tensor_of(photos[0], case.spec)
    found = run_blobs(tmp_path / "m.param", tmp_path / "m.bin", tensor, {"scores", "boxes"})
    halves = {
        layer.name: (layer.weight.astype(np.float16).astype(np.float32), layer.bias)
        for layer in plan.network.layers
        if layer.depthwise
    }
    wanted = run_onnx(case.onnx(plan.network.with_parameters(halves)), tensor)
    np.testing.assert_allclose(found["scores"], wanted["scores"][0], atol=1e-4)


def test_shifted_tensors_use_all_levels(slim: Case) -> None:
    shifts = input_shifts(make_plan(slim.network, slim.table, Scheme()))
    assert "base_net.1.0" in shifts
    # Read by 3x3 convolutions, which pad with zeros.
    assert "base_net.1.3" not in shifts
    assert "extras.0.2.2" not in shifts


def test_table_goes_to_ncnns_text_and_back(slim: Case, tmp_path: Path) -> None:
    rows = ncnn_table(
        make_plan(slim.network, slim.table, Scheme("mse-symmetric")),
        load_model(slim),
    )
    path = tmp_path / "model.table"
    path.write_text(write_table(rows))
    back = read_table(path)
    assert list(back) == list(rows)
    for name, row in rows.items():
        np.testing.assert_allclose(back[name].weight_scales, row.weight_scales, rtol=1e-8)
        assert back[name].input_scale == pytest.approx(row.input_scale, rel=1e-8)


def test_plan_from_a_table_has_its_numbers(slim: Case) -> None:
    model = load_model(slim)
    plan = make_plan(slim.network, slim.table, Scheme("mse-symmetric"))
    rows = ncnn_table(plan, model)
    dropped = next(iter(rows))
    del rows[dropped]
    again = plan_from_table(slim.network, model, rows)
    assert len(again.quantized) == len(plan.quantized) - 1
    for name, quantized in again.quantized.items():
        np.testing.assert_array_equal(quantized.weight, plan.quantized[name].weight)
    assert ncnn_table(again, model).keys() == rows.keys()
    with pytest.raises(InputError, match="names no layer"):
        plan_from_table(slim.network, model, {"other": rows[next(iter(rows))]})


@given(
    rows=st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.builds(
            TableRow,
            st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=4).map(tuple),
            st.floats(1e-3, 1e6),
        ),
        max_size=4,
    )
)
def test_any_table_survives(rows: dict[str, TableRow], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("table") / "t.table"
    path.write_text(write_table(rows) + "\n")
    back = read_table(path)
    assert back.keys() == rows.keys()
    for name, row in rows.items():
        np.testing.assert_allclose(back[name].weight_scales, row.weight_scales, rtol=1e-8)


@pytest.mark.parametrize("text", ["conv_0 1 2\n", "conv_0 1\n", "conv_0_param_0 x\nconv_0 1\n"])
def test_damaged_tables_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.table").write_text(text)
    with pytest.raises(InputError, match=r"not an ncnn .table file"):
        read_table(tmp_path / "bad.table")


def test_param_comes_back_as_it_was(case: Case, tmp_path: Path) -> None:
    lines = read_param(case.files("ncnn")[0])
    (tmp_path / "again.param").write_text(write_param(lines))
    assert read_param(tmp_path / "again.param") == lines


def test_damaged_files_are_refused(slim: Case, tmp_path: Path) -> None:
    param, weights = slim.files("ncnn")
    lines = read_param(param)
    short = tmp_path / "short.bin"
    short.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match="convert to ncnn again"):
        read_weights(lines, short)
    long = tmp_path / "long.bin"
    long.write_bytes(weights.read_bytes() + b"\0\0\0\0")
    with pytest.raises(InputError, match=r"does not belong to its .param"):
        read_weights(lines, long)
    bad = tmp_path / "bad.param"
    for text in (
        "",
        "7767517\n",
        "1234\n1 1\n",
        param.read_text().replace("0 1 input", "5 9 input"),
    ):
        bad.write_text(text)
        with pytest.raises(InputError):
            read_param(bad)


def test_files_of_another_network_are_refused(slim: Case, rfb: Case) -> None:
    with pytest.raises(InputError, match="is not in the ONNX file"):
        NcnnModel.load(*rfb.files("ncnn"), slim.network)


def test_anchors_of_a_decoded_head_stay(converted: Convert, checkpoints: Path) -> None:
    folder = converted(
        checkpoints / "version-slim-320.pth", "onnxsim", "ncnn", size=SIZE, head="decoded"
    )
    network, _ = load_network(folder.files(folder.find("onnxsim"))[0])
    model = NcnnModel.load(*folder.files(folder.find("ncnn")), network)
    anchors = folder.spec.num_anchors
    assert sorted(map(len, model.constants.values())) == [anchors * 8] * 3
