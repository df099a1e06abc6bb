"""Add, Sub, Mul and Div of ONNX as Caffe's Eltwise, Power and Scale layers."""

# Tested by tests/converters/caffe/test_layers.py.

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx

from ultraface_deploy.converters.caffe.network import NetBuilder, refusal
from ultraface_deploy.converters.caffe.schema import EltwiseOp
from ultraface_deploy.converters.onnx.walk import Array

_ONE, _ZERO = np.asarray(1.0), np.asarray(0.0)


def arithmetic(net: NetBuilder, node: onnx.NodeProto) -> None:
    """Add a layer: Eltwise of two blobs, or Power or Scale where one is constant.

    Raises:
        InputError: Caffe has no such layer, as where it would have to broadcast two blobs.
    """
    constants = [name in net.constants for name in node.input]
    operation, first_is_constant = node.op_type, constants[0]
    if constants == [False, False] and operation in ("Add", "Sub"):
        _eltwise(net, node)
        return
    if all(constants) or not any(constants) or (operation == "Div" and first_is_constant):
        raise refusal(node, "Caffe multiplies and divides by one constant only")
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
    else:
        _affine(net, node, tensor, scale=1 / value)


def _scale_and_shift(net: NetBuilder, node: onnx.NodeProto, tensor: str, scale: Array) -> None:
    """Translate Mul; an Add of a constant that alone reads it becomes part of the layer."""
    follower = net.graph.only_reader(node.output[0])
    if follower is not None and follower.op_type == "Add":
        shifts = [net.constants[name] for name in follower.input if name in net.constants]
        if shifts:
            _affine(net, follower, tensor, scale, shifts[0])
            return
    _affine(net, node, tensor, scale)


def _affine(
    net: NetBuilder, node: onnx.NodeProto, tensor: str, scale: Array = _ONE, shift: Array = _ZERO
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
    net: NetBuilder,
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


def _eltwise(net: NetBuilder, node: onnx.NodeProto) -> None:
    shapes = {net.shape(name) for name in node.input}
    if len(shapes) > 1:
        raise refusal(node, f"Caffe does not broadcast {' to '.join(map(str, sorted(shapes)))}")
    layer = net.add(node, "Eltwise", node.input)
    layer.eltwise_param.operation = EltwiseOp.Value("SUM")
    if node.op_type == "Sub":
        layer.eltwise_param.coeff.extend([1, -1])
