from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.quantize.conftest import Case
from tests.quantize.helpers import run_onnx, tensor_of
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters.mnn import int8 as emitter
from ultraface_deploy.converters.mnn.int8 import compression_parameters, count_quantized, emit_mnn
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.quantize.plan import Scheme, make_plan

pytest.importorskip("MNN", reason="MNN's converter makes the files")
SCHEME = Scheme(keep=("base_net.0.0", "base_net.1.0"))


def test_every_layer_but_the_kept_becomes_int8(
    case: Case, photos: list[Path], tmp_path: Path
) -> None:
    plan = make_plan(case.network, case.table, SCHEME)
    file = tmp_path / "model.mnn"
    emit_mnn(plan, case.model, file)
    assert count_quantized(file) == len(case.network.layers) - 2
    assert file.stat().st_size < 350_000
    tensor = tensor_of(photos[0], case.spec)
    session = get_backend("mnn").load([file], case.spec, precision="int8")
    found, wanted = session.run(tensor), run_onnx(case.model, tensor)
    assert np.sqrt(np.square(found["scores"] - wanted["scores"]).mean()) < 0.01


def test_same_plan_gives_the_same_bytes(slim: Case, tmp_path: Path) -> None:
    plan = make_plan(slim.network, slim.table, SCHEME)
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        emit_mnn(plan, slim.model, tmp_path / name / "model.mnn")
        digests.add(hashlib.sha256((tmp_path / name / "model.mnn").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_tensor_has_one_scale_and_additions_are_symmetric(rfb: Case) -> None:
    parameters = compression_parameters(make_plan(rfb.network, rfb.table, SCHEME))
    seen: dict[str, tuple[Any, ...]] = {}
    for layer in parameters["algo"][0]["quantParams"]["layer"]:
        for tensor in (*layer["input"], *layer["output"]):
            stated = (tensor["scales"], tensor["zeroPoint"])
            assert seen.setdefault(tensor["name"], stated) == stated
    assert seen["base_net.7/Add"][1] == 0
    assert seen["base_net.7/Concat"][1] == 0
    assert seen["base_net.6.3"][1] == -128
    json.dumps(parameters, allow_nan=False)


def test_a_file_left_in_fp32_is_noticed(
    slim: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter says nothing when it ignores the parameters."""
    original = emitter.convert_onnx

    def ignoring(source: Path, output: Path, options: list[str]) -> None:
        original(source, output, [])

    monkeypatch.setattr(emitter, "convert_onnx", ignoring)
    with pytest.raises(ToolFailed, match="quantised 0 of 40 convolutions"):
        emit_mnn(make_plan(slim.network, slim.table, SCHEME), slim.model, tmp_path / "model.mnn")
