"""OpenVINO: nothing goes out, FP32 stays FP32, INT8 is computed in INT8, foreign files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, Convert, MakeCheckpoint
from ultraface_deploy.artifacts.choose import find_files
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.backends.openvino import import_openvino
from ultraface_deploy.pipeline import preprocess

pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def small(converted: Convert, make_checkpoint: MakeCheckpoint) -> ArtifactFolder:
    return converted(make_checkpoint(), "onnxsim", "openvino", size=(128, 96))


def test_the_users_own_telemetry_can_still_be_imported() -> None:
    program = (
        "import sys; sys.modules['openvino_telemetry'] = kept = type(sys)('openvino_telemetry');"
        "from ultraface_deploy.backends.openvino import import_openvino; import_openvino();"
        "assert sys.modules['openvino_telemetry'] is kept"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_fp32_stays_fp32_where_the_processor_has_bfloat16(small: ArtifactFolder) -> None:
    files = small.files(small.find("openvino"))
    session: Any = get_backend("openvino").load(files, small.spec)
    compiled = session._request.get_compiled_model()
    kinds = {_info(op, "runtimePrecision") for op in compiled.get_runtime_model().get_ops()}
    assert "f32" in kinds
    assert not kinds & {"bf16", "f16"}


def _info(operation: Any, key: str) -> str:
    value = operation.get_rt_info()[key]
    return str(getattr(value, "value", value))


def test_other_peoples_files_run(small: ArtifactFolder, tmp_path: Path) -> None:
    """As OpenVINO's own converter writes them, from ONNX, without our description."""
    openvino = import_openvino()
    model = openvino.Core().read_model(str(small.files(small.find("onnxsim"))[0]))
    openvino.save_model(model, str(tmp_path / "it's.xml"))
    runtime, files, spec = find_files(tmp_path / "it's.xml", None, "fp32", None, None)
    assert runtime.name == "openvino"
    assert [file.name for file in files] == ["it's.xml", "it's.bin"]
    assert (spec.width, spec.height, spec.head) == (128, 96, "raw")
    tensor = preprocess(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), spec)
    found = runtime.load(files, spec).run(tensor)
    wanted = get_backend("onnxruntime").load(small.files(small.find("onnxsim")), spec).run(tensor)
    # `save_model` stores weights in FP16 unless told otherwise.
    np.testing.assert_allclose(found["scores"], wanted["scores"], atol=2e-2)
