"""Files of any opset that people have: raised, computing the same, and fit for INT8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy import models
from ultraface_deploy.converters.onnx.files import load, save
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.converters.onnx.opset import OPSET, raise_opset

onnx = pytest.importorskip("onnx", reason="writes ONNX files")


def computed(model: object) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())  # type: ignore[attr-defined]
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 3, 240, 320)).astype(np.float32)
    return list(session.run(["scores", "boxes"], {session.get_inputs()[0].name: tensor}))


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 17, 20])
def test_every_opset_can_be_raised_and_computes_the_same(tmp_path: Path, opset: int) -> None:
    model = load(models.FOLDER / "slim-320.onnx")
    model.opset_import[0].version = opset
    save(model, tmp_path / "old.onnx")
    wanted = computed(model)
    raise_opset(model)
    assert model.opset_import[0].version == max(opset, OPSET)
    for ours, theirs in zip(computed(model), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    _, network = load_network(tmp_path / "old.onnx")
    assert network.opset_import[0].version == max(opset, OPSET)


def test_published_files_of_opset_9_can_be_raised(shared: Path) -> None:
    model = load(shared / "reference/onnx/version-slim-320_without_postprocessing.onnx")
    assert model.opset_import[0].version == 9
    wanted = computed(model)
    raise_opset(model)
    for ours, theirs in zip(computed(model), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
