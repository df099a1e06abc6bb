"""A network, or a plan of it in INT8, as the content of a `.tflite` file."""

# Tested by tests/converters/tflite/test_translate.py.

from __future__ import annotations

import json
from collections.abc import Mapping

import onnx

from ultraface_deploy.converters.onnx.int8 import with_parameters
from ultraface_deploy.converters.tflite.int8 import numbers_of
from ultraface_deploy.converters.tflite.logistic import (
    class_layers,
    logistic_graph,
    logistic_network,
)
from ultraface_deploy.converters.tflite.network import Numbers
from ultraface_deploy.converters.tflite.translate import translate
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.quantize.network import Network
from ultraface_deploy.quantize.plan import Plan

# Read by XNNPACK's delegate: on cores with FP16 arithmetic it may be used throughout, sums
# included (tensorflow/lite/tools/optimize/reduced_precision_metadata.h).
_HALF = ("reduced_precision_support", b"fp16accfp16")


def emit_tflite(
    network: Network, model: onnx.ModelProto, spec: ModelSpec, half: bool = False
) -> bytes:
    """Return the file in FP32, or with weights in FP16 and leave to compute in it.

    `model` is the one that `onnx.network.find_layers` returned with the network.
    """
    network = logistic_network(network, class_layers(model))
    extra = dict([_HALF]) if half else {}
    return _written(network, model, spec, Numbers(half=half), extra)


def emit_int8(
    plan: Plan, model: onnx.ModelProto, spec: ModelSpec, integer_tail: bool = False
) -> bytes:
    """Return the INT8 file of a plan, whose heads compute differences where they can.

    Its input is INT8, a pixel less 128. With `integer_tail` its outputs are INT8 as well and, if
    the plan keeps no layer, no operator computes in FP32, as accelerators need it.
    """
    numbers = numbers_of(plan, model, spec, integer_tail)
    return _written(plan.network, model, spec, numbers, {})


def _written(
    network: Network,
    model: onnx.ModelProto,
    spec: ModelSpec,
    numbers: Numbers,
    extra: Mapping[str, bytes],
) -> bytes:
    if class_layers(model):
        model = logistic_graph(model)
    metadata = {METADATA_KEY: json.dumps(spec.to_dict()).encode(), **extra}
    shape = f"(1, {spec.height}, {spec.width}, 3)"
    mean, std = spec.mean, spec.std[0]
    normal = f"(x - {mean[0]:g}) / {std:g}" if len(set(mean)) == 1 else f"(x - {mean}) / {std:g}"
    what = "INT8, the pixel less 128" if numbers.layers else f"float, {normal}"
    description = f"{spec.name}: face detector; input {shape} {spec.color.upper()} {what}"
    return translate(with_parameters(model, network), numbers, metadata, description)
