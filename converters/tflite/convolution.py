"""Convolutions of TensorFlow Lite, in FP32, FP16 or INT8."""

# Tested by tests/converters/tflite/test_translate.py.

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from ultraface_deploy.converters.onnx.walk import attributes, untranslatable
from ultraface_deploy.converters.tflite.file import Quantization, Tensor
from ultraface_deploy.converters.tflite.network import Array, Network, QuantizedWeights
from ultraface_deploy.converters.tflite.window import Window

_COLOURS = 3


def convolution(network: Network, node: onnx.NodeProto) -> None:
    """Add a convolution.

    Raises:
        InputError: it has groups of several channels.
    """
    quantized = network.numbers.layers.get(node.name)
    weight = network.graph.constants[node.input[1]] if quantized is None else quantized.weight
    groups = int(attributes(node).get("group", 1))
    depthwise = groups > 1 and weight.shape[1] == 1
    if groups > 1 and not depthwise:
        raise untranslatable("tflite", f"node {node.name} has {groups} groups of several channels")
    window = Window.of(node, weight.shape[2:], network.graph.shape(node.input[0])[2:])
    source = (
        network.as_float(node.input[0]) if quantized is None else network.as_int8(node.input[0])
    )
    # OHWI, and [1, h, w, C] for depthwise.
    turned = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    if quantized is not None and window.pairs_pay and turned.shape[3] == _COLOURS:
        source, turned, window = _by_pairs(network, source, turned, window)
    scheme, pads = window.padding()
    if pads is not None:
        source = _padded(network, node, source, pads)
    name, activation = network.activated(node)
    network.channels_last.add(name)
    options = {
        "table": "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
        "padding": scheme,
        "strideH": window.stride[0],
        "strideW": window.stride[1],
        "dilationHFactor": window.dilation[0],
        "dilationWFactor": window.dilation[1],
        "fusedActivationFunction": activation,
    }
    if depthwise:
        options["depthMultiplier"] = weight.shape[0] // groups
    if quantized is None:
        given = node.input[2:]
        bias = network.graph.constants[given[0]] if given else np.zeros(len(weight))
        parameters = [network.weights(f"{node.name}.weight", turned)]
        parameters.append(network.weights(f"{node.name}.bias", bias))
        version = 2 if depthwise and max(window.dilation) > 1 else 1
    else:
        parameters = _integer_parameters(network, node.name, quantized, turned, source, depthwise)
        version = 3
    target = network.make(name, integer=quantized is not None)
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    network.file.operator(kind, [source, *parameters], target, options, version)


def _by_pairs(
    network: Network, source: Tensor, weight: Array, window: Window
) -> tuple[Tensor, Array, Window]:
    """Read the picture as pairs of pixels: half as wide, six channels, the same bytes.

    XNNPACK pads each tap of three colours to eight bytes. A 3x3 kernel at a stride of 2 reaches
    over two pairs, the first pixel of the first with weight zero: six taps in place of nine.
    """
    batch, height, width, colours = source.shape
    paired = network.file.tensor(
        f"{source.name}/pairs",
        (batch, height, width // 2, 2 * colours),
        source.dtype,
        source.quantization,
    )
    shape = network.file.constant(f"{paired.name}/shape", np.array(paired.shape, np.int32))
    options = {"table": "ReshapeOptions", "newShape": list(paired.shape)}
    network.file.operator("RESHAPE", [source, shape], paired, options)
    outputs = len(weight)
    wide = np.zeros((outputs, 3, 4, colours), weight.dtype)
    wide[:, :, 1:] = weight
    folded = wide.reshape(outputs, 3, 2, 2 * colours)
    return paired, folded, window.of_pairs()


def _integer_parameters(
    network: Network,
    name: str,
    quantized: QuantizedWeights,
    turned: npt.NDArray[np.int8],
    source: Tensor,
    depthwise: bool,
) -> list[Tensor]:
    """Weights and bias in integers; the bias has the scale of the products it is added to."""
    assert source.quantization is not None
    scales = quantized.scales.astype(np.float32)
    products = scales * np.float32(source.quantization.scales[0])
    steps = np.rint(quantized.bias.astype(np.float64) / products)
    bias = np.clip(steps, -(2**31), 2**31 - 1).astype(np.int32)
    along = Quantization(tuple(map(float, scales)), 0, 3 if depthwise else 0)
    return [
        network.file.constant(f"{name}.weight", turned, along),
        network.file.constant(f"{name}.bias", bias, Quantization(tuple(map(float, products)))),
    ]


def _padded(
    network: Network, node: onnx.NodeProto, source: Tensor, pads: list[list[int]]
) -> Tensor:
    (top, bottom), (left, right) = pads
    batch, height, width, channels = source.shape
    shape = (batch, height + top + bottom, width + left + right, channels)
    padded = network.file.tensor(f"{node.name}/pad", shape, source.dtype, source.quantization)
    amounts = np.array([[0, 0], *pads, [0, 0]], np.int32)
    inputs = [source, network.file.constant(f"{node.name}/pads", amounts)]
    version = 1 if source.quantization is None else 2
    network.file.operator("PAD", inputs, padded, {"table": "PadOptions"}, version)
    return padded
