"""ONNX to Caffe: each node of a simplified network as the Caffe layer that computes the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.converters.caffe.network import Array, Network, refusal
from ultraface_deploy.converters.caffe.schema import EltwiseOp, PoolMethod
from ultraface_deploy.converters.caffe.shapes import pooled_size
from ultraface_deploy.errors import InputError


def net_from_onnx(model: onnx.ModelProto, name: str) -> Any:
    """Return a `NetParameter` with weights that computes what the ONNX network does.

    Raises:
        InputError: a node has no Caffe equivalent (named with its operator), or a tensor has no
            fixed shape.
    """
    net = Network(model, name)
    for node in model.graph.node:
        if node.output[0] in net.constants or node.output[0] in net.blobs:
            continue  # a constant, or part of a layer that is there already
        translate = _TRANSLATIONS.get(node.op_type)
        if translate is None:
            raise refusal(node, "Caffe does not offer a layer for it")
        translate(net, node)
    if idle := sorted(net.outputs - set(net.blobs)):
        raise InputError(f"output {idle[0]!r} is computed by no node; simplify the ONNX file")
    return net.message


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


# --- layers with weights ---------------------------------------------------------------------


def _convolution(net: Network, node: onnx.NodeProto) -> None:
    weight = net.constant(node, 1, "weight")
    if weight.ndim != 4:
        raise refusal(node, "only 2-D convolutions are supported")
    weights = [weight]
    if any(node.input[2:]):
        weights.append(net.constant(node, 2, "bias"))
    layer = net.add(node, "Convolution", node.input[:1], weights)
    attributes = _attributes(node)
    parameters = layer.convolution_param
    parameters.num_output = weight.shape[0]
    if len(weights) == 1:
        parameters.bias_term = False
    _set_pair(parameters, "kernel", "kernel_size", weight.shape[2:])
    _set_window(node, parameters, attributes)
    _set_dilation(parameters, attributes.get("dilations", [1, 1]))
    if attributes.get("group", 1) != 1:
        parameters.group = attributes["group"]


def _set_dilation(parameters: Any, dilations: Sequence[int]) -> None:
    if list(dilations) != [1, 1]:
        parameters.dilation.extend(dilations[:1] if dilations[0] == dilations[1] else dilations)


def _set_window(node: onnx.NodeProto, parameters: Any, attributes: dict[str, Any]) -> None:
    """Set padding and stride of a convolution or a pooling where they are not the defaults."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise refusal(node, f"auto_pad {attributes['auto_pad'].decode()}; export explicit pads")
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise refusal(node, "Caffe pads opposite sides alike")
    if (top, left) != (0, 0):
        _set_pair(parameters, "pad", "pad", (top, left))
    strides = attributes.get("strides", [1, 1])
    if list(strides) != [1, 1]:
        _set_pair(parameters, "stride", "stride", strides)


def _set_pair(parameters: Any, prefix: str, square: str, pair: Sequence[int]) -> None:
    """Set `kernel_size: 3`, or `kernel_h: 3 kernel_w: 1` where the two differ."""
    height, width = pair
    if height != width:
        setattr(parameters, f"{prefix}_h", height)
        setattr(parameters, f"{prefix}_w", width)
    elif parameters.DESCRIPTOR.full_name.endswith("ConvolutionParameter"):
        getattr(parameters, square).append(height)  # repeated there, single in pooling
    else:
        setattr(parameters, square, height)


def _inner_product(net: Network, node: onnx.NodeProto) -> None:
    weight = net.constant(node, 1, "weight")
    attributes = _attributes(node)
    scales = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    if weight.ndim != 2 or attributes.get("transA", 0) or scales != (1.0, 1.0):
        raise refusal(node, "only `x @ weight + bias` with a weight matrix is supported")
    if not attributes.get("transB", 0):
        weight = weight.T
    weights = [weight]
    if any(node.input[2:]):
        weights.append(np.broadcast_to(net.constant(node, 2, "bias").ravel(), weight.shape[:1]))
    layer = net.add(node, "InnerProduct", node.input[:1], weights)
    layer.inner_product_param.num_output = weight.shape[0]
    if len(weights) == 1:
        layer.inner_product_param.bias_term = False
    axis = len(net.shape(node.input[0])) - 1
    if axis != 1:
        layer.inner_product_param.axis = axis


def _batch_norm(net: Network, node: onnx.NodeProto) -> None:
    """ONNX's BatchNormalization is Caffe's BatchNorm (statistics) and Scale (gamma, beta)."""
    names = ("scale", "bias", "mean", "variance")
    gamma, beta, mean, variance = (
        net.constant(node, position, name) for position, name in enumerate(names, start=1)
    )
    normalised = f"{node.output[0]} normalised"
    # Caffe divides the statistics by a third blob, the weight of its moving average.
    statistics = [mean, variance, np.ones(1)]
    layer = net.add(node, "BatchNorm", node.input[:1], statistics, output=normalised)
    layer.batch_norm_param.use_global_stats = True
    layer.batch_norm_param.eps = _attributes(node).get("epsilon", 1e-5)
    scale = net.add(node, "Scale", [normalised], [gamma, beta])
    scale.scale_param.bias_term = True


# --- arithmetic ------------------------------------------------------------------------------


def _arithmetic(net: Network, node: onnx.NodeProto) -> None:
    """Add, Sub, Mul, Div: Eltwise of two blobs, or Power or Scale where one is constant."""
    constants = [name in net.constants for name in node.input]
    operation = node.op_type
    if constants == [False, False]:
        if operation == "Div":
            raise refusal(node, "Caffe cannot divide one blob by another")
        _eltwise(net, node)
        return
    if all(constants):
        raise refusal(node, "both operands are constant; simplify the ONNX file")
    first_is_constant = constants[0]
    tensor, name = reversed(node.input) if first_is_constant else node.input
    value = net.constants[name].astype(np.float64)
    if operation == "Mul":
        _scale_and_shift(net, node, tensor, value)
    elif operation == "Add":
        _affine(net, node, tensor, shift=value)
    elif operation == "Sub" and first_is_constant:
        _affine(net, node, tensor, scale=np.asarray(-1.0), shift=value)
    elif operation == "Sub":
        _affine(net, node, tensor, shift=-value)
    elif first_is_constant:
        raise refusal(node, "Caffe cannot divide a constant by a blob")
    else:
        _affine(net, node, tensor, scale=1 / value)


def _scale_and_shift(net: Network, node: onnx.NodeProto, tensor: str, scale: Array) -> None:
    """Translate Mul; an Add of a constant that alone reads it becomes part of the layer."""
    follower = net.only_reader(node.output[0])
    if follower is not None and follower.op_type == "Add":
        shifts = [net.constants[name] for name in follower.input if name in net.constants]
        if shifts:
            _affine(net, follower, tensor, scale, shifts[0])
            return
    _affine(net, node, tensor, scale)


_ONE, _ZERO = np.asarray(1.0), np.asarray(0.0)


def _affine(
    net: Network, node: onnx.NodeProto, tensor: str, scale: Array = _ONE, shift: Array = _ZERO
) -> None:
    """`scale * x + shift` with constants: a Power layer for scalars, else a Scale layer."""
    if scale.size == shift.size == 1:
        power = net.add(node, "Power", [tensor]).power_param
        if scale.item() != 1:
            power.scale = scale.item()
        if shift.item() != 0:
            power.shift = shift.item()
        return
    shape = net.shape(tensor)
    axis, extents = _covered_axes(node, shape, scale, shift)
    weights = [_over_axes(array, shape, axis, extents) for array in (scale, shift)]
    if not shift.any():
        del weights[1]
    merged = (*shape[:axis], math.prod(extents), *shape[axis + len(extents) :])
    if merged == shape:
        _add_scale(net, node, tensor, weights, axis)
        return
    # Several runtimes know a Scale layer along one axis only: merge the axes, scale, part them.
    inside, outside = f"{node.output[0]} merged", f"{node.output[0]} scaled"
    layer = net.add(node, "Reshape", [tensor], output=inside)
    layer.reshape_param.shape.dim.extend(merged)
    _add_scale(net, node, inside, [array.ravel() for array in weights], axis, output=outside)
    layer = net.add(node, "Reshape", [outside])
    layer.reshape_param.shape.dim.extend(shape)


def _add_scale(
    net: Network,
    node: onnx.NodeProto,
    tensor: str,
    weights: Sequence[Array],
    axis: int,
    output: str | None = None,
) -> None:
    parameters = net.add(node, "Scale", [tensor], weights, output=output).scale_param
    if axis != 1:
        parameters.axis = axis
    if len(weights) == 2:
        parameters.bias_term = True


def _covered_axes(
    node: onnx.NodeProto, shape: tuple[int, ...], *arrays: Array
) -> tuple[int, tuple[int, ...]]:
    """The first axis along which one of the arrays varies, and the extents up to the last such."""
    try:
        if np.broadcast_shapes(shape, *(array.shape for array in arrays)) != shape:
            raise ValueError("the constant is larger than the tensor")
    except ValueError as error:
        raise refusal(node, f"its constant does not fit a tensor of shape {shape}") from error
    varying = [
        len(shape) - array.ndim + position
        for array in arrays
        for position, extent in enumerate(array.shape)
        if extent > 1
    ]
    first, last = min(varying), max(varying)
    return first, shape[first : last + 1]


def _over_axes(array: Array, shape: tuple[int, ...], axis: int, extents: tuple[int, ...]) -> Array:
    """Lay a broadcasting constant out over `extents`, the axes of `shape` from `axis` on."""
    full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    covered = full[(0,) * axis]
    covered = covered.reshape(covered.shape[: len(extents)])
    return np.broadcast_to(covered, extents)


def _eltwise(net: Network, node: onnx.NodeProto) -> None:
    shapes = {net.shape(name) for name in node.input}
    if len(shapes) > 1:
        raise refusal(node, f"Caffe does not broadcast {' to '.join(map(str, sorted(shapes)))}")
    layer = net.add(node, "Eltwise", node.input)
    operations = {"Mul": "PROD", "Max": "MAX"}
    layer.eltwise_param.operation = EltwiseOp.Value(operations.get(node.op_type, "SUM"))
    if node.op_type == "Sub":
        layer.eltwise_param.coeff.extend([1, -1])


def _negate(net: Network, node: onnx.NodeProto) -> None:
    _affine(net, node, node.input[0], scale=np.asarray(-1.0))


def _power(net: Network, node: onnx.NodeProto) -> None:
    exponent = net.constant(node, 1, "exponent")
    if exponent.size != 1:
        raise refusal(node, "its exponent must be one number")
    net.add(node, "Power", node.input[:1]).power_param.power = exponent.item()


# --- activations and pooling -----------------------------------------------------------------


def _same_named(layer_type: str) -> Callable[[Network, onnx.NodeProto], None]:
    """Translate a node without parameters."""

    def translate(net: Network, node: onnx.NodeProto) -> None:
        net.add(node, layer_type, node.input)

    return translate


def _leaky_relu(net: Network, node: onnx.NodeProto) -> None:
    slope = _attributes(node).get("alpha", 0.01)
    net.add(node, "ReLU", node.input).relu_param.negative_slope = slope


def _softmax(net: Network, node: onnx.NodeProto) -> None:
    rank = len(net.shape(node.input[0]))
    axis = _attributes(node).get("axis", -1 if net.opset >= 13 else 1) % rank
    if net.opset < 13 and axis != rank - 1:
        # Until opset 13 the axes from `axis` on were flattened into one.
        raise refusal(node, "it runs over several axes; convert the ONNX file to opset 13")
    layer = net.add(node, "Softmax", node.input)
    if axis != 1:
        layer.softmax_param.axis = axis


def _pooling(net: Network, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    method = "MAX" if node.op_type == "MaxPool" else "AVE"
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    pads = attributes.get("pads", [0, 0, 0, 0])
    if len(kernel) != 2 or list(attributes.get("dilations", [1, 1])) != [1, 1]:
        raise refusal(node, "only 2-D pooling without dilation is supported")
    if method == "AVE" and any(pads) and not attributes.get("count_include_pad", 0):
        raise refusal(node, "Caffe counts padding into an average; set count_include_pad")
    before, after = net.shape(node.input[0])[2:], net.shape(node.output[0])[2:]
    for size, pad, window, stride, out in zip(before, pads, kernel, strides, after, strict=False):
        if pooled_size(size, pad, window, stride) != out:
            raise refusal(node, f"Caffe rounds the size of {before} pooled up, not to {after}")
        if method == "AVE" and (out - 1) * stride + window > size + 2 * pad:
            raise refusal(node, "a window of the average reaches over the padded edge")
    parameters = net.add(node, "Pooling", node.input).pooling_param
    parameters.pool = PoolMethod.Value(method)
    _set_pair(parameters, "kernel", "kernel_size", kernel)
    _set_window(node, parameters, attributes)


def _global_pooling(net: Network, node: onnx.NodeProto) -> None:
    parameters = net.add(node, "Pooling", node.input).pooling_param
    method = "MAX" if node.op_type == "GlobalMaxPool" else "AVE"
    parameters.pool = PoolMethod.Value(method)
    parameters.global_pooling = True


# --- shape -----------------------------------------------------------------------------------


def _concat(net: Network, node: onnx.NodeProto) -> None:
    axis = _attributes(node)["axis"] % len(net.shape(node.input[0]))
    net.add(node, "Concat", node.input).concat_param.axis = axis


def _permute(net: Network, node: onnx.NodeProto) -> None:
    rank = len(net.shape(node.input[0]))
    order = _attributes(node).get("perm", list(reversed(range(rank))))
    net.add(node, "Permute", node.input).permute_param.order.extend(order)


def _reshape(net: Network, node: onnx.NodeProto) -> None:
    if _attributes(node).get("allowzero", 0):
        raise refusal(node, "Caffe has no empty blobs (allowzero)")
    layer = net.add(node, "Reshape", node.input[:1])
    layer.reshape_param.shape.dim.extend(net.constant(node, 1, "shape").tolist())


def _reshape_fixed(net: Network, node: onnx.NodeProto) -> None:
    """Flatten, Squeeze, Unsqueeze: a Reshape to the shape that they lead to."""
    layer = net.add(node, "Reshape", node.input[:1])
    layer.reshape_param.shape.dim.extend(net.shape(node.output[0]))


def _forward(net: Network, node: onnx.NodeProto) -> None:
    """Identity and Dropout do nothing at inference; only an output of the network needs a layer."""
    if node.output[0] in net.outputs:
        net.add(node, "Power", node.input[:1])
    else:
        net.blobs[node.output[0]] = net.blob(node, node.input[0])


def _split(net: Network, node: onnx.NodeProto) -> None:
    axis = _attributes(node).get("axis", 0) % len(net.shape(node.input[0]))
    ends = np.cumsum([net.shape(output)[axis] for output in node.output]).tolist()
    starts = [0, *ends[:-1]]
    pieces = dict(zip(zip(starts, ends, strict=True), node.output, strict=True))
    _add_slice(net, node, axis, pieces)


def _slice(net: Network, node: onnx.NodeProto) -> None:
    """Translate all Slice nodes of one tensor at once: Caffe's Slice cuts it into pieces."""
    siblings = [
        other
        for other in net.graph.node
        if other.op_type == "Slice" and other.input[0] == node.input[0]
    ]
    axes, pieces = set(), {}
    for sibling in siblings:
        axis, start, end = _slice_range(net, sibling)
        axes.add(axis)
        pieces[start, end] = sibling.output[0]
    bounds = sorted(pieces)
    overlap = any(end > start for (_, end), (start, _) in pairwise(bounds))
    if len(axes) > 1 or overlap or len(pieces) < len(siblings):
        raise refusal(node, "slices of one tensor along several axes or overlapping")
    _add_slice(net, node, axes.pop(), pieces)


def _slice_range(net: Network, node: onnx.NodeProto) -> tuple[int, int, int]:
    """(axis, start, end) of a Slice node along its one axis."""
    attributes = _attributes(node)
    if net.opset >= 10:
        starts, ends = (net.constant(node, i, "range").tolist() for i in (1, 2))
        axes = net.constant(node, 3, "axes").tolist() if len(node.input) > 3 else [0]
        steps = net.constant(node, 4, "steps").tolist() if len(node.input) > 4 else [1]
    else:
        starts, ends, steps = list(attributes["starts"]), list(attributes["ends"]), [1]
        axes = list(attributes.get("axes", [0]))
    if len(starts) != 1 or steps != [1]:
        raise refusal(node, "only slices along one axis with step 1 are supported")
    shape = net.shape(node.input[0])
    axis = axes[0] % len(shape)
    start, end, _ = slice(starts[0], ends[0]).indices(shape[axis])
    return axis, start, end


def _add_slice(
    net: Network, node: onnx.NodeProto, axis: int, pieces: dict[tuple[int, int], str]
) -> None:
    """Add a Slice layer; what lies between the pieces becomes tops that a Silence layer takes."""
    extent = net.shape(node.input[0])[axis]
    bounds = sorted({0, extent, *(bound for piece in pieces for bound in piece)})
    layer = net.add(node, "Slice", node.input[:1])
    if axis != 1:
        layer.slice_param.axis = axis
    layer.slice_param.slice_point.extend(bounds[1:-1])
    unused = []
    del layer.top[:]
    for number, piece in enumerate(pairwise(bounds), start=1):
        tensor = pieces.get(piece)
        top = tensor if tensor in net.outputs else f"{layer.name}_{number}"
        layer.top.append(top)
        if tensor is None:
            unused.append(top)
        else:
            net.blobs[tensor] = top
    if unused:
        net.message.layer.add(name=f"{layer.name}/silence", type="Silence", bottom=unused)


_TRANSLATIONS: dict[str, Callable[[Network, onnx.NodeProto], None]] = {
    "Add": _arithmetic,
    "AveragePool": _pooling,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _convolution,
    "Div": _arithmetic,
    "Dropout": _forward,
    "Exp": _same_named("Exp"),
    "Flatten": _reshape_fixed,
    "Gemm": _inner_product,
    "GlobalAveragePool": _global_pooling,
    "GlobalMaxPool": _global_pooling,
    "Identity": _forward,
    "LeakyRelu": _leaky_relu,
    "MatMul": _inner_product,
    "Max": _eltwise,
    "MaxPool": _pooling,
    "Mul": _arithmetic,
    "Neg": _negate,
    "Pow": _power,
    "Relu": _same_named("ReLU"),
    "Reshape": _reshape,
    "Sigmoid": _same_named("Sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _reshape_fixed,
    "Sub": _arithmetic,
    "Sum": _eltwise,
    "Tanh": _same_named("TanH"),
    "Transpose": _permute,
    "Unsqueeze": _reshape_fixed,
}
