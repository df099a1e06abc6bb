"""What tools that quantise by themselves are given: the same function, shapes, photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from tests.quantize.conftest import Case
from ultraface_deploy.converters.onnx.handed import hand_inputs, hand_network
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Scheme, make_plan
from ultraface_deploy.safe.images import embedded_images


def job_of(case: Case) -> Int8Job:
    return Int8Job(case.spec, case.network, {"onnxsim": case.files("onnxsim")})


def test_the_network_computes_nearly_the_same(case: Case, tmp_path: Path) -> None:
    """Channels are scaled, biases moved by what rounding costs, and outliers cut; no more."""
    plan = make_plan(case.network, case.table, Scheme())
    target = tmp_path / "network.onnx"
    hand_network(plan, job_of(case), target)
    model = onnx.load(str(target))
    stated = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    assert {name for node in model.graph.node for name in node.output} <= stated
    bounds = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    cuts = [node for node in model.graph.node if node.op_type == "Clip"]
    assert len(cuts) >= 26 and not any(node.op_type == "Relu" for node in model.graph.node)
    for node in cuts:
        low, high = (float(bounds[name]) for name in node.input[1:])
        assert (low, high) == (0.0, np.float32(plan.ranges[node.output[0]][1]))
    tensor = preprocess(next(iter(embedded_images())), case.spec)
    network, loaded = load_network(target)
    (ours,) = OnnxExecutor(network, loaded).outputs([tensor])
    (wanted,) = case.executor.outputs([tensor])
    (rounded,) = case.executor.outputs([tensor], plan)
    # It is on the way to INT8, and not farther off.
    assert 0 < rms(ours[0] - wanted[0]) < 1.2 * rms(rounded[0] - wanted[0])


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def test_cut_at_the_convolutions(case: Case, tmp_path: Path) -> None:
    plan = make_plan(case.network, case.table, Scheme())
    target = tmp_path / "network.onnx"
    hand_network(plan, job_of(case), target, at_convolutions=True)
    names = [value.name for value in onnx.load(str(target)).graph.output]
    assert names == [f"{kind}_{place}" for kind in ("scores", "boxes") for place in range(4)]


def test_the_photographs_that_ship_where_none_are_given(slim: Case, tmp_path: Path) -> None:
    target = tmp_path / "inputs.npy"
    assert hand_inputs(job_of(slim), target, 3) == 3
    first = preprocess(next(iter(embedded_images())), slim.spec)
    np.testing.assert_allclose(np.load(target)[:1], first, atol=1e-6)
