"""Running ONNX models in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import read_image


def run_onnx(model: onnx.ModelProto, tensor: np.ndarray, optimised: bool = True) -> dict[str, Any]:
    """Return the outputs by name; without optimisation every node does what it says."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": tensor}), strict=True))


def tensor_of(photo: Path, spec: ModelSpec) -> np.ndarray:
    """Return the network input of a photograph."""
    return preprocess(read_image(photo), spec)
