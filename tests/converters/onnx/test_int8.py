from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.quantize.conftest import Case
from tests.quantize.helpers import run_onnx, tensor_of
from ultraface_deploy.converters.onnx.int8 import emit_onnx
from ultraface_deploy.quantize.plan import Scheme, dequantized, make_plan


@pytest.mark.parametrize("keep_every", [0, 2])
def test_runtime_computes_what_the_graph_says(
    case: Case, photos: list[Path], keep_every: int
) -> None:
    """Fused INT8 kernels against the same nodes one by one.

    With every second layer in FP32, ONNX Runtime would round those too, with one scale a layer.
    """
    names = [layer.name for layer in case.network.layers]
    keep = tuple(names[::keep_every]) if keep_every else ()
    model = emit_onnx(make_plan(case.network, case.table, Scheme(keep=keep)), case.model)
    onnx.checker.check_model(model, full_check=True)
    tensor = tensor_of(photos[0], case.spec)
    fused, plain = run_onnx(model, tensor), run_onnx(model, tensor, optimised=False)
    # Requantisation may round a tie the other way; a layer rounded behind our back is worse.
    difference = np.sqrt(np.square(fused["scores"] - plain["scores"]).mean())
    assert difference < 2e-3
    assert np.sqrt(np.square(fused["boxes"] - plain["boxes"]).mean()) < 2e-2


def test_weights_in_the_file_are_the_plans(slim: Case) -> None:
    plan = make_plan(slim.network, slim.table, Scheme())
    model = emit_onnx(plan, slim.model)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, quantized in plan.quantized.items():
        scales = values[f"{name}.weight/scale"][:, None, None, None]
        np.testing.assert_allclose(
            values[f"{name}.weight/q"] * scales, dequantized(quantized), rtol=1e-6
        )
        assert f"{name}.weight" not in values
    assert len(model.SerializeToString()) < 470_000
