"""ONNX to Caffe: each node of a simplified network as the Caffe layer that computes the same."""

# Tested by tests/converters/caffe/test_layers.py.

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx

from ultraface_deploy.converters.caffe.arithmetic import arithmetic
from ultraface_deploy.converters.caffe.network import NetBuilder, refusal
from ultraface_deploy.converters.caffe.schema import CHANNELS_LAST
from ultraface_deploy.converters.onnx.walk import attributes
from ultraface_deploy.errors import InputError


def net_from_onnx(model: onnx.ModelProto, name: str) -> Any:
    """Return a `NetParameter` with weights that computes what the ONNX network does.

    Raises:
        InputError: a node has no Caffe equivalent (named with its operator), or a tensor has no
            fixed shape.
    """
    net = NetBuilder(model, name)
    for node in net.graph.nodes:
        if node.output[0] in net.constants or node.output[0] in net.blobs:
            continue  # a constant, or part of a layer that is there already
        translate = _TRANSLATIONS.get(node.op_type)
        if translate is None:
            raise refusal(node, "Caffe does not offer a layer for it")
        translate(net, node)
    if idle := sorted(net.outputs - set(net.blobs)):
        raise InputError(f"output {idle[0]!r} is computed by no node; simplify the ONNX file")
    return net.message


# --- layers with weights ---------------------------------------------------------------------


def _convolution(net: NetBuilder, node: onnx.NodeProto) -> None:
    weight = net.constant(node, 1, "weight")
    if weight.ndim != 4:
        raise refusal(node, "only 2-D convolutions are supported")
    weights = [weight]
    if any(node.input[2:]):
        weights.append(net.constant(node, 2, "bias"))
    layer = net.add(node, "Convolution", node.input[:1], weights)
    given = attributes(node)
    parameters = layer.convolution_param
    parameters.num_output = weight.shape[0]
    if len(weights) == 1:
        parameters.bias_term = False
    _set_pair(parameters, "kernel", "kernel_size", weight.shape[2:])
    _set_window(node, parameters, given)
    _set_dilation(parameters, given.get("dilations", [1, 1]))
    if given.get("group", 1) != 1:
        parameters.group = given["group"]


def _set_dilation(parameters: Any, dilations: Sequence[int]) -> None:
    if list(dilations) != [1, 1]:
        parameters.dilation.extend(dilations[:1] if dilations[0] == dilations[1] else dilations)


def _set_window(node: onnx.NodeProto, parameters: Any, given: dict[str, Any]) -> None:
    """Set padding and stride where they are not the defaults."""
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise refusal(node, f"auto_pad {given['auto_pad'].decode()}; export explicit pads")
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise refusal(node, "Caffe pads opposite sides alike")
    if (top, left) != (0, 0):
        _set_pair(parameters, "pad", "pad", (top, left))
    strides = given.get("strides", [1, 1])
    if list(strides) != [1, 1]:
        _set_pair(parameters, "stride", "stride", strides)


def _set_pair(parameters: Any, prefix: str, square: str, pair: Sequence[int]) -> None:
    """Set `kernel_size: 3`, or `kernel_h: 3 kernel_w: 1` where the two differ."""
    height, width = pair
    if height != width:
        setattr(parameters, f"{prefix}_h", height)
        setattr(parameters, f"{prefix}_w", width)
    else:
        getattr(parameters, square).append(height)


# --- activations -----------------------------------------------------------------------------


def _same_named(layer_type: str) -> Callable[[NetBuilder, onnx.NodeProto], None]:
    """Translate a node without parameters."""

    def translate(net: NetBuilder, node: onnx.NodeProto) -> None:
        net.add(node, layer_type, node.input)

    return translate


def _softmax(net: NetBuilder, node: onnx.NodeProto) -> None:
    rank = len(net.shape(node.input[0]))
    axis = attributes(node).get("axis", -1 if net.graph.opset >= 13 else 1) % rank
    if net.graph.opset < 13 and axis != rank - 1:
        # Until opset 13 the axes from `axis` on were flattened into one.
        raise refusal(node, "it runs over several axes; convert the ONNX file to opset 13")
    layer = net.add(node, "Softmax", node.input)
    if axis != 1:
        layer.softmax_param.axis = axis


# --- shape -----------------------------------------------------------------------------------


def _concat(net: NetBuilder, node: onnx.NodeProto) -> None:
    axis = attributes(node)["axis"] % len(net.shape(node.input[0]))
    net.add(node, "Concat", node.input).concat_param.axis = axis


def _permute(net: NetBuilder, node: onnx.NodeProto) -> None:
    order = list(attributes(node).get("perm", ()))
    if order != CHANNELS_LAST:
        raise refusal(node, f"it permutes otherwise than to channels last, by {order}")
    net.add(node, "Permute", node.input).permute_param.order.extend(order)


def _reshape(net: NetBuilder, node: onnx.NodeProto) -> None:
    if attributes(node).get("allowzero", 0):
        raise refusal(node, "Caffe has no empty blobs (allowzero)")
    layer = net.add(node, "Reshape", node.input[:1])
    layer.reshape_param.shape.dim.extend(net.constant(node, 1, "shape").tolist())


def _split(net: NetBuilder, node: onnx.NodeProto) -> None:
    axis = attributes(node).get("axis", 0) % len(net.shape(node.input[0]))
    ends = np.cumsum([net.shape(output)[axis] for output in node.output]).tolist()
    starts = [0, *ends[:-1]]
    pieces = dict(zip(zip(starts, ends, strict=True), node.output, strict=True))
    _add_slice(net, node, axis, pieces)


def _slice(net: NetBuilder, node: onnx.NodeProto) -> None:
    """Translate all Slice nodes of one tensor at once: Caffe's Slice cuts it into pieces."""
    siblings = [each for each in net.graph.readers[node.input[0]] if each.op_type == "Slice"]
    axes, pieces = set(), {}
    for sibling in siblings:
        axis, start, end = _slice_range(net, sibling)
        axes.add(axis)
        pieces[start, end] = sibling.output[0]
    if len(axes) > 1 or len(pieces) < len(siblings):
        raise refusal(node, "slices of one tensor along several axes, or twice the same")
    _add_slice(net, node, axes.pop(), pieces)


def _slice_range(net: NetBuilder, node: onnx.NodeProto) -> tuple[int, int, int]:
    """(axis, start, end) of a Slice node along its one axis."""
    given = attributes(node)
    if net.graph.opset >= 10:
        starts, ends = (net.constant(node, i, "range").tolist() for i in (1, 2))
        axes = net.constant(node, 3, "axes").tolist() if len(node.input) > 3 else [0]
        steps = net.constant(node, 4, "steps").tolist() if len(node.input) > 4 else [1]
    else:
        starts, ends, steps = list(given["starts"]), list(given["ends"]), [1]
        axes = list(given.get("axes", [0]))
    if len(starts) != 1 or steps != [1]:
        raise refusal(node, "only slices along one axis with step 1 are supported")
    shape = net.shape(node.input[0])
    axis = axes[0] % len(shape)
    start, end, _ = slice(starts[0], ends[0]).indices(shape[axis])
    return axis, start, end


def _add_slice(
    net: NetBuilder, node: onnx.NodeProto, axis: int, pieces: dict[tuple[int, int], str]
) -> None:
    """Add a Slice layer, whose tops are all that there is of the tensor."""
    extent = net.shape(node.input[0])[axis]
    bounds = sorted({0, extent, *(bound for piece in pieces for bound in piece)})
    if set(pairwise(bounds)) != pieces.keys():
        raise refusal(node, "slices that overlap, or leave a part of the tensor out")
    layer = net.add(node, "Slice", node.input[:1])
    if axis != 1:
        layer.slice_param.axis = axis
    layer.slice_param.slice_point.extend(bounds[1:-1])
    del layer.top[:]
    for number, piece in enumerate(pairwise(bounds), start=1):
        tensor = pieces[piece]
        top = tensor if tensor in net.outputs else f"{layer.name}_{number}"
        layer.top.append(top)
        net.blobs[tensor] = top


_TRANSLATIONS: dict[str, Callable[[NetBuilder, onnx.NodeProto], None]] = {
    "Add": arithmetic,
    "Concat": _concat,
    "Conv": _convolution,
    "Div": arithmetic,
    "Exp": _same_named("Exp"),
    "Mul": arithmetic,
    "Relu": _same_named("ReLU"),
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sub": arithmetic,
    "Transpose": _permute,
}
