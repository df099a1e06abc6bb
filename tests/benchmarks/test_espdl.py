"""What esp-ppq would be asked, with a stand-in for it that computes in FP32."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from tests.conftest import require_installed
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.benchmarks.espdl import TRIED, Trial
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.safe.images import DEMO_PHOTO

require_installed("onnxsim", "it gets simplified ONNX")
COMPUTES = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[3])
names = [each.name for each in session.get_outputs()]
assert len(np.load("inputs.npy")) == 2, "two to calibrate on"
assert sys.argv[4:] == ["esp32p4", "8", "minmax"]
runs = [session.run(names, {"input": each[None]}) for each in np.load("photos.npy")]
outputs = [OFF * np.concatenate(values) for values in zip(*runs)]
np.savez("outputs.npz", names=names, **{f"output{i}": each for i, each in enumerate(outputs)})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    output = tmp_path_factory.mktemp("espdl") / "slim-320"
    return convert(resolve_source("slim-320"), ["onnxsim"], output=output)


def stand_in(folder: Path, off: str) -> Path:
    program = folder / "computes.py"
    program.write_text(COMPUTES.replace("OFF", off))
    python = folder / "python"
    # It is called with -I, our script and the arguments.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    python.chmod(0o755)
    return python


def test_both_networks_are_the_one_that_was_given(folder: ArtifactFolder, tmp_path: Path) -> None:
    trial = Trial(folder, [DEMO_PHOTO, DEMO_PHOTO], [DEMO_PHOTO], tmp_path)
    for network in ("plain", "ours"):
        same = trial.run(stand_in(tmp_path, "1"), network, "esp32p4", 8, "minmax")
        assert (same.wanted, same.f1) == (1, 1.0)
    assert trial.run(stand_in(tmp_path, "0"), "ours", "esp32p4", 8, "minmax").f1 < 0.1
    kinds = [
        {node.op_type for node in onnx.load(tmp_path / f"{name}.onnx").graph.node}
        for name in ("plain", "ours")
    ]
    assert "Softmax" not in kinds[0] | kinds[1]
    assert ("Clip" in kinds[0], "Clip" in kinds[1]) == (False, True)


def test_a_failure_is_told(folder: ArtifactFolder, tmp_path: Path) -> None:
    trial = Trial(folder, [DEMO_PHOTO], [DEMO_PHOTO], tmp_path)
    with pytest.raises(ToolFailed, match="esp-ppq"):
        trial.run(Path(sys.executable), "ours", "esp32p4", 8, "minmax")  # has no esp_ppq
    assert {network for network, *_ in TRIED} == {"plain", "ours"}
