"""INT8 files: the numbers in them, and that they compute what the plan says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.quantize.conftest import Case
from tests.quantize.helpers import run_onnx, tensor_of
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.tflite import with_logistic
from ultraface_deploy.converters.tflite.logistic import class_layers, logistic_graph
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Plan, Scheme, make_plan

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert.interpreter import Interpreter

from ultraface_deploy.converters.tflite.emit import emit_int8

FINEST = "classification_headers.0.2"


def plan_of(case: Case, keep: tuple[str, ...] = ()) -> Plan:
    job = Int8Job(case.spec, case.network, {"onnxsim": case.files("onnxsim")})
    network, table = with_logistic(job, case.table)
    return make_plan(network, table, Scheme(keep=keep))


def tensors(content: bytes) -> dict[str, Any]:
    interpreter = Interpreter(model_content=content)
    return {each["name"]: each for each in interpreter.get_tensor_details()}


def test_heads_of_differences_compute_the_same_scores(case: Case, photos: list[Path]) -> None:
    job = Int8Job(case.spec, case.network, {"onnxsim": case.files("onnxsim")})
    network, _ = with_logistic(job, case.table)
    assert len(class_layers(case.model)) == 4
    tensor = tensor_of(photos[0], case.spec)
    found = run_onnx(logistic_graph(case.onnx(network)), tensor)
    wanted = run_onnx(case.model, tensor)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=2e-5)


def test_the_table_of_differences_holds(case: Case, photos: list[Path]) -> None:
    """Means exactly; ranges hold every value that a detector's scores can tell apart."""
    job = Int8Job(case.spec, case.network, {"onnxsim": case.files("onnxsim")})
    network, table = with_logistic(job, case.table)
    measured = case.executor.__class__(network, case.onnx(network))
    seen: dict[str, list[np.ndarray]] = {}
    for photo in photos[:6]:  # those that the case was calibrated on
        for name, values in measured.tensors(tensor_of(photo, case.spec)):
            if name in class_layers(case.model):
                seen.setdefault(name, []).append(values)
    for name, values in seen.items():
        mean = np.mean([each.mean(axis=1) for each in values], axis=0)
        np.testing.assert_allclose(table.mean[name], mean, atol=2e-3)
        low, high = table.ranges[name]["p99.999"]
        assert low == -high
        assert np.abs(values[0]).max() <= high + 0.5 or high == 8.0


@pytest.mark.parametrize("integer_tail", [False, True])
def test_close_to_fp32(case: Case, photos: list[Path], tmp_path: Path, integer_tail: bool) -> None:
    file = tmp_path / "net.tflite"
    file.write_bytes(emit_int8(plan_of(case), case.model, case.spec, integer_tail))
    tensor = tensor_of(photos[0], case.spec)
    session = get_backend("litert").load([file], case.spec, precision="int8")
    found, wanted = session.run(tensor), run_onnx(case.model, tensor)
    assert np.sqrt(np.square(found["scores"] - wanted["scores"]).mean()) < 0.01
    assert np.sqrt(np.square(found["boxes"] - wanted["boxes"]).mean()) < 0.15


def test_every_layer_but_the_kept_is_int8(case: Case) -> None:
    found = tensors(emit_int8(plan_of(case, (FINEST,)), case.model, case.spec))
    for layer in case.network.layers:
        wanted = np.float32 if layer.name == FINEST else np.int8
        assert found[f"{layer.name}.weight"]["dtype"] == wanted
    assert len([name for name in found if name.endswith("/dequantize")]) == 8


def test_all_integers_for_accelerators(case: Case) -> None:
    found = tensors(emit_int8(plan_of(case), case.model, case.spec, integer_tail=True))
    assert {each["dtype"] for each in found.values()} <= {np.int8, np.int32}
    assert found["scores"]["quantization"] == (1 / 256, -128)


def test_the_numbers_fit_each_other(case: Case) -> None:
    """Biases have the scale of the products, and what is joined has the numbers of the whole."""
    plan = plan_of(case)
    found = tensors(emit_int8(plan, case.model, case.spec, integer_tail=True))
    for layer in case.network.layers:
        weight, bias = (found[f"{layer.name}.{role}"] for role in ("weight", "bias"))
        along = weight["quantization_parameters"]
        assert along["quantized_dimension"] == (3 if layer.depthwise else 0)
        assert not along["zero_points"].any()
        products = along["scales"] * np.float32(found[layer.source]["quantization"][0])
        np.testing.assert_array_equal(bias["quantization_parameters"]["scales"], products)
    for head in ("classification_headers", "regression_headers"):
        numbers = {
            each["quantization"]
            for name, each in found.items()
            if name.startswith(head) and name.endswith((".2", "headers.3")) and name.count(".") < 3
        }
        assert len(numbers) == 1


def test_the_input_is_the_pixel_less_128(slim: Case) -> None:
    found = tensors(emit_int8(plan_of(slim), slim.model, slim.spec))
    given: Mapping[str, Any] = found["input"]
    assert given["dtype"] == np.int8
    scale, zero = given["quantization"]
    pixels = np.arange(256)
    np.testing.assert_array_equal((pixels - 128 - zero) * scale, (pixels - 127) / 128)


def test_the_record_searches_from_all_int8_on(case: Case) -> None:
    int8 = get_format("tflite").int8
    assert int8 is not None
    assert list(int8.keep(case.network)) == [FINEST]
    assert int8.budgets[0] == 0
