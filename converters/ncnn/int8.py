"""INT8 for ncnn: our own writer, because no package ships `ncnn2int8`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ultraface_deploy.converters.ncnn.files import (
    ACTIVATION_PARAMETERS,
    ACTIVATION_TYPE,
    BIAS_TERM,
    CLIP,
    INT8_SCALE_TERM,
    RELU,
    ParamLine,
    TableRow,
    Weights,
    pack_fp16,
    pack_fp32,
    pack_int8,
    read_param,
    read_weights,
    write_param,
    write_table,
)
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.network import Floats, Layer, Network
from ultraface_deploy.quantize.plan import (
    LEVELS,
    Plan,
    Scheme,
    dequantized,
    make_plan,
    round_weights,
    symmetric_threshold,
)
from ultraface_deploy.quantize.table import CalibrationTable


@dataclass(frozen=True)
class NcnnModel:
    """An FP32 ncnn model whose convolutions are known by the names of the ONNX network's layers.

    `layer_of[line name]` is the layer's name; `constants` are the anchors of a decoded head.
    """

    lines: tuple[ParamLine, ...]
    layer_of: dict[str, str]
    constants: dict[str, bytes]

    @classmethod
    def load(cls, param: Path, weights: Path, network: Network) -> NcnnModel:
        """Read the FP32 files and find each convolution in the network by its weights.

        Raises:
            InputError: files that cannot be read, or that were made from another network.
        """
        lines = read_param(param)
        found, constants = read_weights(lines, weights)
        return cls(tuple(lines), _match(found, network, param), constants)


def emit_ncnn(plan: Plan, model: NcnnModel) -> tuple[str, bytes]:
    """Return the text of the INT8 `.param` file and the content of its `.bin` file."""
    layers = {layer.name: layer for layer in plan.network.layers}
    shifts = input_shifts(plan)
    lines, parts = [], []
    for line in model.lines:
        name = model.layer_of.get(line.name)
        if name is not None:
            layer, quantized = layers[name], plan.quantized.get(name)
            used = layer.weight if quantized is None else dequantized(quantized)
            bias = _shifted_bias(layer, used, shifts)
            line = line.with_parameter(BIAS_TERM, "1")
            if name in shifts:
                line = _with_floor(line, -shifts[name])
            if quantized is None:
                # A depthwise layer that stays as it was has few weights, but there are many of
                # them: halves are as good, next to INT8, and keep the file small.
                pack = pack_fp16 if layer.depthwise else pack_fp32
                parts.append(pack(layer.weight, bias))
            else:
                row = _scales(plan, name, shifts)
                scales = np.array(row.weight_scales, np.float32)
                parts.append(pack_int8(quantized.weight, bias, scales, row.input_scale))
                # 1 and 2 both mean one input scale; a depthwise layer has scales per group with 1.
                term = 1 if line.type == "ConvolutionDepthWise" else 2
                line = line.with_parameter(INT8_SCALE_TERM, str(term))
        elif line.name in model.constants:
            parts.append(model.constants[line.name])
        lines.append(line)
    return write_param(lines), b"".join(parts)


def input_shifts(plan: Plan) -> dict[str, float]:
    """Return the tensors that are stored less a constant, and the constants.

    ncnn's INT8 is symmetric, so a tensor after a ReLU would use half of its levels. Stored less
    half its range it uses them all: relu(z) - c is z - c clipped from below at -c, and the layers
    that read it take c back into their biases. That is exact where no zeros are padded, so it is
    done for what only 1x1 convolutions read.
    """
    shifts = {}
    for layer in plan.network.layers:
        readers = plan.network.readers(layer.name)
        pointwise = readers and all(r.groups == 1 and r.weight.shape[2:] == (1, 1) for r in readers)
        if pointwise and layer.relu and any(r.name in plan.quantized for r in readers or ()):
            low, high = plan.ranges[layer.name]
            if low == 0:
                shifts[layer.name] = float(np.float32(high / 2))
    return shifts


def _shifted_bias(layer: Layer, used: Floats, shifts: Mapping[str, float]) -> Floats:
    """The bias that makes up for a shifted input, and shifts the output."""
    bias = layer.bias.astype(np.float64) - shifts.get(layer.name, 0.0)
    if layer.source in shifts:
        bias += used.astype(np.float64).sum(axis=(1, 2, 3)) * shifts[layer.source]
    return bias.astype(np.float32)


def _with_floor(line: ParamLine, floor: float) -> ParamLine:
    """Replace a layer's ReLU by a clip from below."""
    if line.parameters.get(ACTIVATION_TYPE) != RELU:
        raise InputError(f"ncnn layer {line.name}: its ReLU is not part of it; convert again")
    clipped = line.with_parameter(ACTIVATION_TYPE, CLIP)
    return clipped.with_parameter(ACTIVATION_PARAMETERS, f"2,{floor:.9g},3.402823e+38")


def calibration_table(network: Network, table: CalibrationTable, param: Path, weights: Path) -> str:
    """Return a calibration as `ncnn2int8` reads it, for FP32 ncnn files of the network.

    That tool changes nothing but numbers, so the network is not rewritten.
    """
    plan = make_plan(network, table, Scheme("mse-symmetric"))
    return write_table(ncnn_table(plan, NcnnModel.load(param, weights, network)))


def ncnn_table(plan: Plan, model: NcnnModel) -> dict[str, TableRow]:
    """Return the plan's scales under the names of the `.param` file, as `ncnn2int8` takes them.

    That tool changes nothing but numbers: the plan must not be equalised.
    """
    return {
        line.name: _scales(plan, model.layer_of[line.name], {})
        for line in model.lines
        if model.layer_of.get(line.name) in plan.quantized
    }


def plan_from_table(network: Network, model: NcnnModel, rows: Mapping[str, TableRow]) -> Plan:
    """Return the plan that a calibration table of `ncnn2table` describes.

    Layers that the table does not name stay FP32; nothing is equalised or corrected.

    Raises:
        InputError: the table names none of the model's layers, or has other channels.
    """
    quantized, ranges = {}, {}
    for line in model.lines:
        if line.name not in rows or line.name not in model.layer_of:
            continue
        layer, row = network.layer(model.layer_of[line.name]), rows[line.name]
        if len(row.weight_scales) != len(layer.weight) or min(row.weight_scales) <= 0:
            raise InputError(
                f"ncnn table: {line.name} has {len(layer.weight)} output channels; "
                "make it from the same .param"
            )
        scales = np.float32(1.0) / np.array(row.weight_scales, np.float32)
        quantized[layer.name] = round_weights(layer, scales)
        threshold = LEVELS / row.input_scale
        ranges[layer.source] = (-threshold, threshold)
    if not quantized:
        raise InputError("ncnn table: names no layer of this model; make it from the same .param")
    return Plan(network, quantized, ranges)


def _scales(plan: Plan, name: str, shifts: Mapping[str, float]) -> TableRow:
    quantized = plan.quantized[name]
    source = quantized.layer.source
    threshold = shifts.get(source, symmetric_threshold(plan.ranges[source]))
    weight_scales = np.float32(1.0) / quantized.scales
    return TableRow(tuple(float(scale) for scale in weight_scales), LEVELS / threshold)


def _match(weights: dict[str, Weights], network: Network, param: Path) -> dict[str, str]:
    """Find every line's layer: pnnx renames layers and blobs, but weights stay what they are."""
    by_weight: dict[bytes, list[str]] = defaultdict(list)
    for layer in network.layers:
        by_weight[layer.weight.tobytes()].append(layer.name)
    found = {}
    for name, own in weights.items():
        candidates: Sequence[str] = by_weight.get(own.weight.tobytes(), [])
        if not candidates:
            raise InputError(
                f"{param}: layer {name} is not in the ONNX file; convert both again from one source"
            )
        found[name] = by_weight[own.weight.tobytes()].pop(0)
    if len(found) != len(network.layers):
        raise InputError(
            f"{param}: has {len(found)} convolutions, the ONNX file {len(network.layers)}; "
            "convert both again from one source"
        )
    return found
