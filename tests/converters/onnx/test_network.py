from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import Convert, MakeCheckpoint, noise
from tests.quantize.conftest import Case
from tests.quantize.helpers import run_onnx, tensor_of
from ultraface_deploy.converters.onnx.network import find_layers, load_network
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import preprocess


def test_renaming_keeps_the_function(case: Case, photos: list[Path]) -> None:
    tensor = tensor_of(photos[0], case.spec)
    original = run_onnx(onnx.load(case.files("onnxsim")[0]), tensor)
    renamed = run_onnx(case.model, tensor)
    for key, value in original.items():
        np.testing.assert_array_equal(renamed[key], value)


def test_layers_bear_the_names_of_the_checkpoint(slim: Case, rfb: Case) -> None:
    assert len(slim.network.layers) == 42
    assert len(rfb.network.layers) == 52
    names = [layer.name for layer in slim.network.layers]
    assert names[:3] == ["base_net.0.0", "base_net.1.0", "base_net.1.3"]
    assert names[-2:] == ["classification_headers.3", "regression_headers.3"]


def test_each_output_of_a_node_has_a_name_of_its_own(
    converted: Convert, make_checkpoint: MakeCheckpoint
) -> None:
    """As of the Split in a decoded head, whose halves once went by one name."""
    folder = converted(make_checkpoint(), "onnxsim", size=(128, 96), head="decoded")
    path = folder.files(folder.find("onnxsim"))[0]
    tensor = preprocess(noise(200, 150), folder.spec)
    original, renamed = onnx.load(path), load_network(path)[1]
    onnx.checker.check_model(renamed)
    for key, value in run_onnx(original, tensor).items():
        np.testing.assert_array_equal(run_onnx(renamed, tensor)[key], value)


def test_readers_are_convolutions_or_unknown(slim: Case, rfb: Case) -> None:
    readers = slim.network.readers("base_net.7.3")
    assert readers is not None
    assert {reader.name for reader in readers} == {
        "base_net.8.0",
        "classification_headers.0.0",
        "regression_headers.0.0",
    }
    # The addition of RFB reads it as well.
    assert rfb.network.readers("base_net.7/shortcut/conv") is None


def test_multiplications_are_the_known_cost(slim: Case, rfb: Case) -> None:
    # 81.4 M and 100.4 M at 320x240; the maps of 160x128 are 4/15 of those, save for rounding.
    for case, cost in ((slim, 81.4e6), (rfb, 100.4e6)):
        total = sum(layer.multiplications for layer in case.network.layers)
        assert total == pytest.approx(cost * 4 / 15, rel=0.02)


def test_parameters_can_be_replaced(slim: Case, photos: list[Path]) -> None:
    layer = slim.network.layer("classification_headers.0.2")
    changed = slim.network.with_parameters({layer.name: (layer.weight * 0, layer.bias * 0)})
    tensor = tensor_of(photos[0], slim.spec)
    maps = changed.layer(layer.name).weight
    assert not maps.any()
    scores = run_onnx(slim.onnx(changed), tensor)["scores"]
    np.testing.assert_allclose(scores[0, : 20 * 16 * 3], 0.5)
    assert slim.network.layer(layer.name).weight.any()


def test_unknown_layer_is_refused(slim: Case) -> None:
    with pytest.raises(InputError, match="none of that name"):
        slim.network.layer("base_net.99")


def test_model_without_constant_weights_is_refused(slim: Case, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(onnx.load(slim.files("onnxsim")[0]))
    del model.graph.initializer[:]
    with pytest.raises(InputError, match="simplify the model first"):
        find_layers(model)
    (tmp_path / "bad.onnx").write_bytes(b"not protobuf \xff\xff\xff")
    with pytest.raises(InputError, match="not an ONNX model"):
        load_network(tmp_path / "bad.onnx")
