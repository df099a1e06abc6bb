"""INT8 for artifacts: the quantiser with the runtimes that judge and the tables that ship."""

# Tested by tests/quantize/test_gate.py.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy import models
from ultraface_deploy.backends import Backend, get_backend
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize import Int8Options
from ultraface_deploy.quantize.calibrate import OnPhotograph
from ultraface_deploy.quantize.gate import Outputs, Runner
from ultraface_deploy.quantize.quantizer import Quantizer
from ultraface_deploy.safe.child import run_in_child

_TIMEOUT_S = 600.0


def open_quantizer(
    onnx_file: Path,
    spec: ModelSpec,
    options: Int8Options,
    scratch: Path,
    report: Callable[[str], None] = lambda message: None,
    progress: OnPhotograph | None = None,
    own_table: Path | None = None,
) -> Quantizer:
    """Return the quantiser of a simplified ONNX file in FP32; nothing is calibrated yet.

    Where no photographs are given, `own_table` serves if it is there and fits, then the tables that
    ship, and at last the photographs that ship.

    Raises:
        InputError: the file cannot be read, or a layer to keep does not exist.
    """
    network, model = load_network(onnx_file)
    return Quantizer(
        network,
        OnnxExecutor(network, model),
        spec,
        options,
        scratch,
        tables=[
            *([own_table] if own_table is not None and own_table.is_file() else []),
            *models.calibration_tables(),
        ],
        report=report,
        progress=progress,
    )


def runner_of(
    backend: Backend,
    spec: ModelSpec,
    scratch: Path,
    objection: Callable[[Sequence[Path]], str | None] = lambda files: None,
) -> Runner:
    """Return what runs INT8 artifacts on a backend, each in a child process.

    `objection` says what the last check has against files; it is asked after they ran.
    """

    def run(files: Sequence[Path], inputs: Path) -> Outputs:
        output = scratch / "outputs.npz"
        output.unlink(missing_ok=True)
        run_in_child(
            "ultraface_deploy.artifacts.int8:run_session",
            {
                "backend": backend.name,
                "files": [str(file) for file in files],
                "spec": spec.to_dict(),
                "inputs": str(inputs),
                "output": str(output),
            },
            what=f"{backend.name} on the int8 artifact",
            timeout=_TIMEOUT_S,
        )
        with np.load(output) as arrays:
            return {name: arrays[name] for name in ("scores", "boxes")}

    return Runner(run, backend.tolerance("int8", spec), objection)


def run_session(
    backend: str, files: list[str], spec: Mapping[str, Any], inputs: str, output: str
) -> None:
    """Run an artifact over stored inputs (M, 1, 3, H, W) and store its outputs; runs in a child."""
    session = get_backend(backend).load(
        [Path(file) for file in files], ModelSpec.from_dict(spec), precision="int8"
    )
    results = [session.run(tensor) for tensor in np.load(inputs, mmap_mode="r")]
    scores, boxes = (np.concatenate([r[name] for r in results]) for name in ("scores", "boxes"))
    np.savez(output, scores=scores, boxes=boxes)
