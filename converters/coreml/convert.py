"""An `.mlpackage` from a simplified ONNX file, written in a child process."""

# Tested by tests/converters/coreml/test_coreml.py.

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends.coreml import import_coremltools
from ultraface_deploy.converters.coreml.translate import translate
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.child import run_in_child

_TIMEOUT_S = 600.0
# Where coremltools says when it was, which would make each file another.
_DATE = "com.github.apple.coremltools.conversion_date"
_MODEL, _WEIGHTS = "com.apple.CoreML/model.mlmodel", "com.apple.CoreML/weights"
# coremltools draws them by lot; all that counts is that they differ.
_ENTRIES = {
    "00000000-0000-4000-8000-000000000001": ("Model Specification", "model.mlmodel", _MODEL),
    "00000000-0000-4000-8000-000000000002": ("Model Weights", "weights", _WEIGHTS),
}


def convert_onnx(
    source: Path, outputs: Sequence[Path], spec: ModelSpec, precision: Precision
) -> None:
    """Write the files of a package.

    Args:
        source: simplified ONNX file.
        outputs: program, weights and manifest.
        spec: what it is.
        precision: `fp32`, `fp16`, or `w8`: weights in 8 bits, arithmetic in halves.

    Raises:
        ToolFailed: coremltools failed, or left no files.
    """
    arguments = {
        "source": str(source.resolve()),
        "outputs": [str(path.resolve()) for path in outputs],
        "stated": json.dumps(spec.to_dict()),
        "about": f"{spec.name}: faces in a picture of {spec.width}x{spec.height}",
        "precision": precision,
    }
    run_in_child(f"{__name__}:convert_in_child", arguments, what="coremltools", timeout=_TIMEOUT_S)
    if not all(path.is_file() for path in outputs):
        raise ToolFailed("coremltools ended without its files")


def convert_in_child(
    source: str, outputs: list[str], stated: str, about: str, precision: Precision
) -> None:
    """Write the files; coremltools writes a folder of them."""
    coremltools = import_coremltools()
    single = precision == "fp32"
    made = coremltools.convert(
        translate(onnx.load(source)),
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target.iOS16,
        compute_precision=coremltools.precision.FLOAT32
        if single
        else coremltools.precision.FLOAT16,
        skip_model_load=True,
    )
    if precision == "w8":
        made = _with_small_weights(coremltools, made)
    made.user_defined_metadata[METADATA_KEY] = stated
    made.user_defined_metadata.pop(_DATE, None)
    made.short_description = about
    with tempfile.TemporaryDirectory(dir=Path(outputs[0]).parent) as scratch:
        package = Path(scratch) / "made.mlpackage"
        made.save(str(package))
        data = package / "Data"
        # As it was saved, its entries in an order that is always the same.
        model = type(made.get_spec())()
        model.ParseFromString((data / _MODEL).read_bytes())
        Path(outputs[0]).write_bytes(model.SerializeToString(deterministic=True))
        shutil.copyfile(data / _WEIGHTS / "weight.bin", outputs[1])
    Path(outputs[2]).write_text(json.dumps(_manifest(), indent=4) + "\n", encoding="utf-8")


def _with_small_weights(coremltools: Any, made: Any) -> Any:
    from coremltools.optimize import coreml as optimize

    integers = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
    wanted = optimize.OptimizationConfig(op_type_configs={"conv": integers})
    return optimize.linear_quantize_weights(made, wanted)


def _manifest() -> dict[str, Any]:
    """What a package is made of, as coremltools writes it down."""
    return {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            key: {
                "author": "com.apple.CoreML",
                "description": f"CoreML {what}",
                "name": name,
                "path": path,
            }
            for key, (what, name, path) in _ENTRIES.items()
        },
        "rootModelIdentifier": next(iter(_ENTRIES)),
    }
