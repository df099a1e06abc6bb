"""Caffe to ONNX: each layer as the nodes that compute the same.

The layer semantics are those of Caffe's layer catalogue
(https://caffe.berkeleyvision.org/tutorial/layers.html); Permute is that of the SSD branch.
"""

# Tested by tests/converters/caffe/test_layers.py.

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.converters.caffe.graph import Graph, Layer, Shape, Step, Translate
from ultraface_deploy.converters.caffe.schema import CHANNELS_LAST, EltwiseOp
from ultraface_deploy.errors import InputError


def onnx_from_net(net: Any) -> onnx.ModelProto:
    """Return the ONNX network that computes what a `NetParameter` with weights does.

    Blobs that no layer reads become the outputs.

    Raises:
        InputError: a layer type has no translation, or a layer contradicts its inputs or weights.
    """
    graph = Graph(net)
    for index, proto in enumerate(net.layer):
        translate = _TRANSLATIONS.get(proto.type)
        if translate is None:
            raise InputError(
                f"layer {proto.name!r} has the type {proto.type!r}, which cannot be translated; "
                f"known are {', '.join(_TRANSLATIONS)}"
            )
        try:
            graph.add(index, proto, translate)
        except InputError as error:
            raise InputError(f"layer {proto.name!r} ({proto.type}): {error}") from error
    return graph.model()


def _pair(parameters: Any, name: str, prefix: str, default: int) -> tuple[int, int]:
    """Read `pad: 1`, `pad: 1 pad: 2`, or `pad_h: 1 pad_w: 2` as (height, width)."""
    values = list(getattr(parameters, name))
    if parameters.HasField(f"{prefix}_h") or parameters.HasField(f"{prefix}_w"):
        values = [getattr(parameters, f"{prefix}_h"), getattr(parameters, f"{prefix}_w")]
    if len(values) > 2:
        raise InputError(f"only 2-D windows are supported, {name} has {len(values)} values")
    height, width = (values or [default]) * (2 // max(len(values), 1))
    return height, width


def _input(layer: Layer) -> list[Shape]:
    shapes = [tuple(shape.dim) for shape in layer.proto.input_param.shape]
    if len(shapes) == 1:
        shapes *= len(layer.outputs)
    layer.net.inputs.extend(layer.outputs)
    return shapes


def _convolution(layer: Layer) -> list[Shape]:
    parameters = layer.proto.convolution_param
    if len(layer.shape) != 4:
        raise InputError(f"needs a blob with 4 axes, not {layer.shape}")
    batch, channels, *size = layer.shape
    kernel = _pair(parameters, "kernel_size", "kernel", 0)
    pad, stride = _pair(parameters, "pad", "pad", 0), _pair(parameters, "stride", "stride", 1)
    if min(*kernel, *stride) < 1:
        raise InputError(f"kernel {kernel} with stride {stride}")
    dilation = (list(parameters.dilation) or [1]) * (2 if len(parameters.dilation) < 2 else 1)
    group, count = parameters.group, parameters.num_output
    if not group or channels % group or count % group or len(dilation) != 2 or min(dilation) < 1:
        raise InputError(
            f"group {group} and dilation {dilation} for {channels} channels in and {count} out"
        )
    shapes: list[Shape] = [(count, channels // group, *kernel), (count,)]
    names = ("weight", "bias")
    arrays = layer.weights(*shapes[: 1 + parameters.bias_term])
    layer.node(
        "Conv",
        [layer.inputs[0], *map(layer.constant, arrays, names)],
        layer.outputs,
        kernel_shape=kernel,
        pads=[*pad, *pad],
        strides=stride,
        dilations=dilation,
        group=group,
    )
    spatial = [
        (extent + 2 * padding - spread * (window - 1) - 1) // step + 1
        for extent, padding, window, step, spread in zip(
            size, pad, kernel, stride, dilation, strict=True
        )
    ]
    return [(batch, count, *spatial)]


def _scale(layer: Layer) -> list[Shape]:
    parameters, shape = layer.proto.scale_param, layer.shape
    axis = layer.axis(parameters.axis)
    end = len(shape) if parameters.num_axes == -1 else axis + parameters.num_axes
    if not axis <= end <= len(shape):
        raise InputError(f"num_axes {parameters.num_axes} from axis {axis} of {shape}")
    extents = shape[axis:end]
    arrays = layer.weights(*[extents] * (1 + parameters.bias_term))
    spread = (*extents, *[1] * (len(shape) - end))
    layer.chain(
        [
            (operator, [layer.constant(array.reshape(spread), role)], {})
            for operator, array, role in zip(
                ("Mul", "Add"), arrays, ("weight", "bias"), strict=False
            )
        ]
    )
    return [shape]


# --- arithmetic and activations --------------------------------------------------------------


def _scalar(layer: Layer, value: float, role: str) -> str:
    return layer.constant(np.array(value, np.float32), role)


def _power(layer: Layer) -> list[Shape]:
    parameters = layer.proto.power_param
    if parameters.power != 1:
        raise InputError(f"raises to the power of {parameters.power}; only 1 is supported")
    steps: list[Step] = []
    if parameters.scale != 1:
        steps.append(("Mul", [_scalar(layer, parameters.scale, "scale")], {}))
    if parameters.shift != 0:
        steps.append(("Add", [_scalar(layer, parameters.shift, "shift")], {}))
    layer.chain(steps or [("Identity", [], {})])
    return [layer.shape]


def _exp(layer: Layer) -> list[Shape]:
    parameters = layer.proto.exp_param
    if (parameters.base, parameters.scale, parameters.shift) != (-1, 1, 0):
        raise InputError("only e to the power of the blob itself is supported")
    layer.chain([("Exp", [], {})])
    return [layer.shape]


def _relu(layer: Layer) -> list[Shape]:
    if layer.proto.relu_param.negative_slope:
        raise InputError("a slope below zero is not supported")
    layer.chain([("Relu", [], {})])
    return [layer.shape]


def _eltwise(layer: Layer) -> list[Shape]:
    parameters, shapes = layer.proto.eltwise_param, layer.input_shapes
    if len(shapes) != 2 or len(set(shapes)) > 1:
        raise InputError(f"needs two blobs of one shape, not {shapes}")
    operation, coefficients = EltwiseOp.Name(parameters.operation), list(parameters.coeff)
    operator = {(): "Add", (1, 1): "Add", (1, -1): "Sub"}.get(tuple(coefficients))
    if operation != "SUM" or operator is None:
        raise InputError(f"{operation} with coefficients {coefficients}; only x + y and x - y are")
    layer.node(operator, layer.inputs, layer.outputs)
    return [shapes[0]]


def _softmax(layer: Layer) -> list[Shape]:
    axis = layer.axis(layer.proto.softmax_param.axis)
    layer.chain([("Softmax", [], {"axis": axis})])
    return [layer.shape]


def _concat(layer: Layer) -> list[Shape]:
    parameters, shapes = layer.proto.concat_param, layer.input_shapes
    if not shapes:
        raise InputError("has no bottoms")
    axis = layer.axis(
        parameters.concat_dim if parameters.HasField("concat_dim") else parameters.axis
    )
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rest) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise InputError(f"blobs {shapes} do not fit along axis {axis}")
    layer.node("Concat", layer.inputs, layer.outputs, axis=axis)
    total = sum(shape[axis] for shape in shapes)
    return [(*shapes[0][:axis], total, *shapes[0][axis + 1 :])]


def _slice(layer: Layer) -> list[Shape]:
    parameters, shape, count = layer.proto.slice_param, layer.shape, len(layer.outputs)
    axis = layer.axis(parameters.slice_dim if parameters.HasField("slice_dim") else parameters.axis)
    points = list(parameters.slice_point)
    if not points and count and shape[axis] % count == 0:
        points = [shape[axis] // count * number for number in range(1, count)]
    bounds = [0, *points, shape[axis]]
    lengths = [end - start for start, end in pairwise(bounds)]
    if len(lengths) != count or min(lengths) < 1:
        raise InputError(f"cannot cut {shape} along axis {axis} at {points} into {count}")
    split = layer.constant(np.array(lengths, np.int64), "split")
    layer.node("Split", [layer.inputs[0], split], layer.outputs, axis=axis)
    return [(*shape[:axis], length, *shape[axis + 1 :]) for length in lengths]


def _permute(layer: Layer) -> list[Shape]:
    shape, order = layer.shape, list(layer.proto.permute_param.order)
    if len(shape) != 4 or order != CHANNELS_LAST:
        raise InputError(f"order {order} of a blob with {len(shape)} axes")
    layer.chain([("Transpose", [], {"perm": order})])
    return [tuple(shape[axis] for axis in order)]


def _reshape(layer: Layer) -> list[Shape]:
    parameters, shape = layer.proto.reshape_param, layer.shape
    # An axis of -1 stands behind the last one: new axes are appended there.
    start = layer.axis(parameters.axis, len(shape) + 1)
    end = len(shape) if parameters.num_axes == -1 else start + parameters.num_axes
    dims = list(parameters.shape.dim)
    if not start <= end <= len(shape) or dims.count(-1) > 1 or min(dims, default=0) < -1:
        raise InputError(f"cannot reshape axes {start} to {end} of {shape} to {dims}")
    if any(dim == 0 and start + index >= len(shape) for index, dim in enumerate(dims)):
        raise InputError(f"dim 0 in {dims} copies an axis that {shape} does not have")
    copied = [shape[start + index] if dim == 0 else dim for index, dim in enumerate(dims)]
    result = [*shape[:start], *copied, *shape[end:]]
    known = math.prod(dim for dim in result if dim != -1)
    if -1 in result:
        result[result.index(-1)] = math.prod(shape) // known
    if math.prod(result) != math.prod(shape):
        raise InputError(f"cannot reshape {shape} to {dims}")
    whole = start == 0 and end == len(shape)
    target = layer.constant(np.array(dims if whole else result, np.int64), "shape")
    layer.chain([("Reshape", [target], {})])
    return [tuple(result)]


_TRANSLATIONS: dict[str, Translate] = {
    "Concat": _concat,
    "Convolution": _convolution,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Input": _input,
    "Permute": _permute,
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Slice": _slice,
    "Softmax": _softmax,
}
