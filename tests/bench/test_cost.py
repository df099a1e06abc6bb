"""Parameters and MACs against a network small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.bench.cost import Cost, cost_of_onnx
from ultraface_deploy.errors import InputError

onnx = pytest.importorskip("onnx", reason="makes the network")


def written(path: Path, output: list[int | str]) -> Path:
    """Write one depthwise convolution: 4 channels, 3x3, stride 2, with bias, on 8x6 pixels."""
    weight = onnx.numpy_helper.from_array(np.zeros((4, 1, 3, 3), np.float32), "w")
    bias = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "b")
    node = onnx.helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], group=4, strides=[2, 2], pads=[1, 1, 1, 1]
    )
    x = onnx.helper.make_tensor_value_info("x", 1, ["n" if output[0] == "n" else 1, 4, 6, 8])
    y = onnx.helper.make_tensor_value_info("y", 1, output)
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [weight, bias])), path
    )
    return path


def test_one_depthwise_convolution(tmp_path: Path) -> None:
    found = cost_of_onnx(written(tmp_path / "a.onnx", [1, 4, 3, 4]))
    assert found == Cost(parameters=4 * 9 + 4, macs=(4 * 3 * 4) * 9)


def test_a_shape_that_cannot_be_known_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'y' has no fixed shape"):
        cost_of_onnx(written(tmp_path / "a.onnx", ["n", 4, 3, 4]))
