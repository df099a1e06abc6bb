"""Caffe to ONNX: each layer as the nodes that compute the same.

The layer semantics are those of Caffe's layer catalogue
(https://caffe.berkeleyvision.org/tutorial/layers.html); Permute is that of the SSD branch.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.converters.caffe.graph import Graph, Layer, Shape, Step, Translate
from ultraface_deploy.converters.caffe.schema import EltwiseOp, PoolMethod
from ultraface_deploy.converters.caffe.shapes import convolved_size, pooled_size
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
    value = getattr(parameters, name)
    if isinstance(value, int):
        values = [value] if parameters.HasField(name) else []
    else:
        values = list(value)
    if parameters.HasField(f"{prefix}_h") or parameters.HasField(f"{prefix}_w"):
        values = [getattr(parameters, f"{prefix}_h"), getattr(parameters, f"{prefix}_w")]
    if len(values) > 2:
        raise InputError(f"only 2-D windows are supported, {name} has {len(values)} values")
    height, width = (values or [default]) * (2 // max(len(values), 1))
    return height, width


def _window(parameters: Any) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(kernel, pad, stride) of a convolution or pooling, each (height, width)."""
    kernel = _pair(parameters, "kernel_size", "kernel", 0)
    stride = _pair(parameters, "stride", "stride", 1)
    if min(*kernel, *stride) < 1:
        raise InputError(f"kernel {kernel} with stride {stride}")
    return kernel, _pair(parameters, "pad", "pad", 0), stride


# --- layers with weights ---------------------------------------------------------------------


def _convolution(layer: Layer) -> list[Shape]:
    parameters = layer.proto.convolution_param
    if len(layer.shape) != 4:
        raise InputError(f"needs a blob with 4 axes, not {layer.shape}")
    batch, channels, *size = layer.shape
    kernel, pad, stride = _window(parameters)
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
    spatial = map(convolved_size, size, pad, kernel, stride, dilation)
    return [(batch, count, *spatial)]


def _inner_product(layer: Layer) -> list[Shape]:
    parameters = layer.proto.inner_product_param
    axis = layer.axis(parameters.axis)
    lead, length = layer.shape[:axis], math.prod(layer.shape[axis:])
    count = parameters.num_output
    weight_shape = (length, count) if parameters.transpose else (count, length)
    shapes: list[Shape] = [weight_shape, (count,)]
    weight, *bias = layer.weights(*shapes[: 1 + parameters.bias_term])
    matrix = weight if parameters.transpose else weight.T
    steps: list[Step] = []
    if len(layer.shape) > axis + 1:
        flat = layer.constant(np.array([*lead, length], np.int64), "flat")
        steps.append(("Reshape", [flat], {}))
    steps.append(("MatMul", [layer.constant(matrix, "weight")], {}))
    if bias:
        steps.append(("Add", [layer.constant(bias[0], "bias")], {}))
    layer.chain(steps)
    return [(*lead, count)]


def _batch_norm(layer: Layer) -> list[Shape]:
    channels = layer.shape[layer.axis(1)]
    mean, variance, weight = layer.weights((channels,), (channels,), (1,))
    # Caffe stores the statistics multiplied by the weight of its moving average.
    factor = 0.0 if weight[0] == 0 else 1 / float(weight[0])
    arrays = {
        "scale": np.ones(channels, np.float32),
        "bias": np.zeros(channels, np.float32),
        "mean": mean * np.float32(factor),
        "variance": variance * np.float32(factor),
    }
    layer.node(
        "BatchNormalization",
        [layer.inputs[0], *(layer.constant(array, role) for role, array in arrays.items())],
        layer.outputs,
        epsilon=layer.proto.batch_norm_param.eps,
    )
    return [layer.shape]


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
    steps: list[Step] = []
    if parameters.scale != 1:
        steps.append(("Mul", [_scalar(layer, parameters.scale, "scale")], {}))
    if parameters.shift != 0:
        steps.append(("Add", [_scalar(layer, parameters.shift, "shift")], {}))
    if parameters.power != 1:
        steps.append(("Pow", [_scalar(layer, parameters.power, "power")], {}))
    layer.chain(steps or [("Identity", [], {})])
    return [layer.shape]


def _exp(layer: Layer) -> list[Shape]:
    parameters = layer.proto.exp_param
    if parameters.base != -1 and parameters.base <= 0:
        raise InputError(f"base {parameters.base}; it must be positive, or -1 for e")
    log_base = 1.0 if parameters.base == -1 else math.log(parameters.base)
    steps: list[Step] = []
    if log_base * parameters.scale != 1:
        steps.append(("Mul", [_scalar(layer, log_base * parameters.scale, "scale")], {}))
    if parameters.shift != 0:
        steps.append(("Add", [_scalar(layer, log_base * parameters.shift, "shift")], {}))
    layer.chain([*steps, ("Exp", [], {})])
    return [layer.shape]


def _relu(layer: Layer) -> list[Shape]:
    slope = layer.proto.relu_param.negative_slope
    layer.chain([("LeakyRelu", [], {"alpha": slope}) if slope else ("Relu", [], {})])
    return [layer.shape]


def _same_named(operator: str) -> Translate:
    """Translate a layer without parameters."""

    def translate(layer: Layer) -> list[Shape]:
        layer.chain([(operator, [], {})])
        return [layer.shape]

    return translate


def _eltwise(layer: Layer) -> list[Shape]:
    parameters, shapes = layer.proto.eltwise_param, layer.input_shapes
    if len(shapes) < 2 or len(set(shapes)) > 1:
        raise InputError(f"needs two or more blobs of one shape, not {shapes}")
    operation, coefficients = EltwiseOp.Name(parameters.operation), list(parameters.coeff)
    if operation == "SUM" and coefficients == [1, -1]:
        layer.node("Sub", layer.inputs, layer.outputs)
        return [shapes[0]]
    if coefficients and (operation != "SUM" or len(coefficients) != len(shapes)):
        raise InputError(f"{len(coefficients)} coefficients for {operation} of {len(shapes)} blobs")
    terms = list(layer.inputs)
    for index, coefficient in enumerate(coefficients):
        if coefficient != 1:
            factor = _scalar(layer, coefficient, f"coeff{index}")
            product = f"{layer.proto.name}:term{index}"
            layer.node("Mul", [terms[index], factor], [product])
            terms[index] = product
    operator = {"PROD": "Mul", "SUM": "Add", "MAX": "Max"}[operation]
    total = terms[0]
    for index, term in enumerate(terms[1:], start=1):
        output = layer.outputs[0] if index == len(terms) - 1 else f"{layer.proto.name}:{index}"
        layer.node(operator, [total, term], [output])
        total = output
    return [shapes[0]]


def _softmax(layer: Layer) -> list[Shape]:
    axis = layer.axis(layer.proto.softmax_param.axis)
    layer.chain([("Softmax", [], {"axis": axis})])
    return [layer.shape]


def _pooling(layer: Layer) -> list[Shape]:
    parameters, shape = layer.proto.pooling_param, layer.shape
    if len(shape) != 4 or parameters.pool == PoolMethod.Value("STOCHASTIC"):
        raise InputError("only MAX and AVE pooling of blobs with 4 axes is supported")
    average = parameters.pool == PoolMethod.Value("AVE")
    if parameters.global_pooling:
        layer.chain([("GlobalAveragePool" if average else "GlobalMaxPool", [], {})])
        return [(*shape[:2], 1, 1)]
    kernel, pad, stride = _window(parameters)
    if pad[0] >= kernel[0] or pad[1] >= kernel[1]:
        raise InputError(f"padding {pad} is not smaller than the kernel {kernel}")
    size = tuple(map(pooled_size, shape[2:], pad, kernel, stride))
    # Caffe rounds up: ONNX pads the far side by what the last window reaches over the edge.
    over = [
        max(0, (out - 1) * s + k - extent - 2 * p)
        for out, s, k, extent, p in zip(size, stride, kernel, shape[2:], pad, strict=True)
    ]
    if average and any(over):
        raise InputError("an average whose last window reaches over the padded edge")
    far = [p + extra for p, extra in zip(pad, over, strict=True)]
    window = {"kernel_shape": kernel, "pads": [*pad, *far], "strides": stride}
    if average:
        layer.chain([("AveragePool", [], {**window, "count_include_pad": 1})])
    else:
        layer.chain([("MaxPool", [], window)])
    return [(*shape[:2], *size)]


# --- shape -----------------------------------------------------------------------------------


def _input(layer: Layer) -> list[Shape]:
    shapes = [tuple(shape.dim) for shape in layer.proto.input_param.shape]
    if len(shapes) == 1:
        shapes *= len(layer.outputs)
    layer.net.inputs.extend(layer.outputs)
    return shapes


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
    # Axes that are not named follow in their order.
    order += [axis for axis in range(len(shape)) if axis not in order]
    if sorted(order) != list(range(len(shape))):
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


def _flatten(layer: Layer) -> list[Shape]:
    parameters, shape = layer.proto.flatten_param, layer.shape
    start, end = layer.axis(parameters.axis), layer.axis(parameters.end_axis)
    if start > end:
        raise InputError(f"axis {start} lies behind end_axis {end}")
    result = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    target = layer.constant(np.array(result, np.int64), "shape")
    layer.chain([("Reshape", [target], {})])
    return [result]


def _copies(layer: Layer) -> list[Shape]:
    """Dropout and Split hand on what they read."""
    for output in layer.outputs:
        layer.node("Identity", layer.inputs, [output])
    return [layer.shape] * len(layer.outputs)


def _silence(layer: Layer) -> list[Shape]:
    return []


_TRANSLATIONS: dict[str, Translate] = {
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _copies,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Input": _input,
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _same_named("Sigmoid"),
    "Silence": _silence,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _copies,
    "TanH": _same_named("Tanh"),
}
