"""Files of OpenVINO from a simplified ONNX file, written in a child process."""

# Tested by tests/converters/openvino/test_openvino.py.

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.backends.openvino import import_openvino
from ultraface_deploy.converters.onnx.int8 import with_parameters
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.quantize.plan import Plan, affine
from ultraface_deploy.safe.child import run_in_child

_NETWORK, _NUMBERS = "network.onnx", "numbers.npz"


def convert_onnx(
    source: Path, outputs: Sequence[Path], spec: ModelSpec, half: bool = False
) -> None:
    """Write an `.xml` and a `.bin`, with weights in FP16 if asked for.

    Raises:
        ToolFailed: OpenVINO failed, or left no files.
    """
    _convert(source, None, outputs, spec, half)


def convert_plan(
    plan: Plan, model: onnx.ModelProto, outputs: Sequence[Path], spec: ModelSpec, scratch: Path
) -> None:
    """Write the INT8 files of a plan.

    Args:
        plan: its numbers.
        model: the one that `onnx.network.find_layers` returned with the plan's network.
        outputs: the two files.
        spec: what the network is.
        scratch: a folder for what is handed to OpenVINO's process.
    """
    network, numbers = scratch / _NETWORK, scratch / _NUMBERS
    onnx.save(with_parameters(model, plan.network), network)
    arrays: dict[str, Any] = {}
    for name, quantized in plan.quantized.items():
        arrays[f"weight {name}"], arrays[f"scales {name}"] = quantized.weight, quantized.scales
        source = quantized.layer.source
        scale, zero = affine(plan.ranges[source])
        arrays[f"bounds {source}"] = np.array([-zero * scale, (255 - zero) * scale], np.float32)
    np.savez(numbers, **arrays)
    _convert(network, numbers, outputs, spec, half=False)
    network.unlink()
    numbers.unlink()


def _convert(
    source: Path, numbers: Path | None, outputs: Sequence[Path], spec: ModelSpec, half: bool
) -> None:
    arguments = {
        "source": str(source.resolve()),
        "numbers": None if numbers is None else str(numbers.resolve()),
        "xml": str(outputs[0].resolve()),
        "spec": spec.to_dict(),
        "half": half,
    }
    run_in_child(f"{__name__}:convert_in_child", arguments, what="OpenVINO's writer")
    if not all(path.is_file() for path in outputs):
        raise ToolFailed("OpenVINO's writer ended without its files")


def convert_in_child(
    source: str, numbers: str | None, xml: str, spec: Mapping[str, Any], half: bool
) -> None:
    """Write the two files; OpenVINO puts the `.bin` beside the `.xml`."""
    from ultraface_deploy.converters.openvino.translate import translate

    openvino = import_openvino()
    stored = {} if numbers is None else dict(np.load(numbers))
    model = translate(onnx.load(source), stored, spec["name"])
    model.set_rt_info(json.dumps(spec), [METADATA_KEY])
    openvino.save_model(model, xml, compress_to_fp16=half)
    _without_indents(Path(xml))


def _without_indents(xml: Path) -> None:
    """Leave out what makes the description a quarter larger and means nothing."""
    lines = xml.read_text(encoding="utf-8").splitlines()
    xml.write_text("\n".join(line.strip() for line in lines), encoding="utf-8")
