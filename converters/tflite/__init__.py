"""TensorFlow Lite (LiteRT): `.tflite`, by our own writer; no TensorFlow takes part.

file        tensors and operators -> the bytes of a `.tflite`
translate   ONNX nodes -> operators, in FP32, FP16 or INT8
logistic    the two-class softmax in the form that quantises best
int8        a quantisation plan -> the numbers of the file
emit        a network with its description and metadata, in each precision
read        what a file says of itself
"""

# Tested by tests/converters/tflite/test_translate.py.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Conversion, Files, Format
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.quantize.int8 import Goal, Int8, Int8Job

if TYPE_CHECKING:
    from ultraface_deploy.agreement.precision import Precision
    from ultraface_deploy.quantize.network import Network
    from ultraface_deploy.quantize.plan import Plan
    from ultraface_deploy.quantize.table import CalibrationTable


def _convert(job: Conversion) -> None:
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_deploy.converters.tflite.emit import emit_tflite

    network, model = load_network(job.sources[0])
    half = job.precision == "fp16"
    job.outputs[0].write_bytes(emit_tflite(network, model, job.spec, half))


def _emit(plan: Plan, job: Int8Job, folder: Path) -> Files:
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_deploy.converters.tflite.emit import emit_int8

    file = folder / f"{job.spec.name}.tflite"
    model = load_network(job.files["onnxsim"][0])[1]
    file.write_bytes(emit_int8(plan, model, job.spec))
    return [file]


def with_logistic(job: Int8Job, table: CalibrationTable) -> tuple[Network, CalibrationTable]:
    """Return the network whose heads compute differences of classes, and its table."""
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_deploy.converters.tflite.logistic import (
        class_layers,
        logistic_network,
        logistic_table,
    )

    heads = class_layers(load_network(job.files["onnxsim"][0])[1])
    network = logistic_network(job.network, heads)
    return network, logistic_table(table, network, heads)


def _finest_head(network: Network) -> Iterator[str]:
    """The convolution that makes the scores of the smallest faces.

    In INT8 its outputs are 256 steps: anchors beside each other tie, and NMS keeps the wrong one
    of them, which costs small faces. It is .6 % of the multiplications.
    """
    heads = [layer for layer in network.layers if layer.name.startswith("classification_headers.0")]
    return (layer.name for layer in heads[-1:])


def _stated_spec(files: Files) -> ModelSpec | None:
    from ultraface_deploy.converters.tflite.read import stated_spec

    return stated_spec(files[0])


def _stored_precision(files: Files) -> Precision:
    from ultraface_deploy.converters.tflite.read import stored_precision

    return stored_precision(files[0])


FORMAT = Format(
    name="tflite",
    suffixes=(".tflite",),
    source="onnxsim",
    precisions={
        "fp32": _convert,
        "fp16": _convert,
        "int8": Int8(
            emit=_emit,
            share=0.415,
            rewrite=with_logistic,
            keep=_finest_head,
            # Layers in FP32 cost time here, where INT8 has no conversions between layers to save.
            budgets=(0, 2_000, 8_000, 20_000),
            goal=Goal(f1=0.985, score_error=0.03),
        ),
    },
    packages=("ai_edge_litert", "onnx", "onnxsim"),
    extra="litert",
    stated_spec=_stated_spec,
    stored_precision=_stored_precision,
)
