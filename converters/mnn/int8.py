"""INT8 for MNN: our own scales, handed to its converter as compression parameters.

The converter is told nothing else and says nothing when it ignores them, so what it made is
counted afterwards.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from pathlib import Path
from typing import Any

import onnx

from ultraface_deploy.converters.mnn.convert import convert_onnx, run_tool
from ultraface_deploy.converters.onnx.int8 import with_parameters
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.quantize.plan import LEVELS, Plan, affine, symmetric_threshold
from ultraface_deploy.quantize.ranges import Range

# MNN takes the parameters for JSON, not for binary protobuf, by this suffix alone.
_PARAMETERS = "compression.json"
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def emit_mnn(plan: Plan, model: onnx.ModelProto, output: Path) -> None:
    """Write the INT8 `.mnn` file of a plan; intermediate files go beside `output`.

    `model` is the one that `converters.onnx.network.find_layers` returned for the plan's network.

    Raises:
        ToolFailed: the converter crashed, hung, or left layers in FP32 that should be INT8.
    """
    source, parameters = output.with_suffix(".onnx"), output.parent / _PARAMETERS
    onnx.save(with_parameters(model, plan.network), source)
    parameters.write_text(json.dumps(compression_parameters(plan)))
    convert_onnx(source, output, ["--compressionParamsFile", str(parameters)])
    pin_uuid(output)
    done, wanted = count_quantized(output), len(plan.quantized)
    if done != wanted:
        raise ToolFailed(
            f"MNN converter quantised {done} of {wanted} convolutions without saying why"
        )


def compression_parameters(plan: Plan) -> dict[str, Any]:
    """Return the parameters in the JSON form of MNN's MNN_compression.proto.

    A layer is found by the name of its output after the ReLU; one that is not listed stays FP32.
    """
    made_by_layers = {layer.name for layer in plan.network.layers} | {"input"}

    def tensor(name: str) -> dict[str, Any]:
        scale, zero = _asymmetric(plan.ranges[name])
        if name not in made_by_layers:
            # MNN's Add and Concat in INT8 clamp at zero, not at the zero point.
            scale, zero = symmetric_threshold(plan.ranges[name]) / LEVELS, 0
        return {
            "name": name,
            "scales": [scale],
            "zeroPoint": zero,
            "clampMin": -128,
            "clampMax": 127,
        }

    layers = [
        {
            "input": [tensor(quantized.layer.source)],
            "weight": [
                {
                    "name": f"{name}.weight",
                    "scales": [float(scale) for scale in quantized.scales],
                    "clampMin": -LEVELS,
                    "clampMax": LEVELS,
                }
            ],
            "output": [tensor(name)],
        }
        for name, quantized in plan.quantized.items()
    ]
    algorithm = {"type": "QUANTIZE", "quantParams": {"layer": layers}}
    return {"version": "1.0.0", "algo": [algorithm]}


def count_quantized(path: Path) -> int:
    """Return how many convolutions of an `.mnn` file compute in INT8."""
    dump = path.with_suffix(".dump.json")
    run_tool("mnnconvert", ["-f", "MNN", "--modelFile", str(path), "--JsonFile", str(dump)])
    if not dump.is_file():
        raise ToolFailed(f"MNN converter could not read back {path.name}")
    model = json.loads(dump.read_text())
    operators = (operator.get("main", {}) for operator in model["oplists"])
    return sum(main.get("quanParameter", {}).get("scaleIn", 0) > 0 for main in operators)


def pin_uuid(path: Path) -> None:
    """Derive the random UUID that MNN puts into a file from the rest of it; not all have one."""
    content = path.read_bytes()
    for found in _UUID.findall(content):
        blank = content.replace(found, b"0" * len(found))
        pinned = uuid.UUID(bytes=hashlib.sha256(blank).digest()[:16], version=4)
        content = content.replace(found, str(pinned).encode())
    path.write_bytes(content)


def _asymmetric(bounds: Range) -> tuple[float, int]:
    """Scale and zero point of signed 8 bits, -128..127."""
    scale, zero = affine(bounds)
    return scale, zero - 128
