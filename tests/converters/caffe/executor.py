"""Caffe's layers in NumPy, from Caffe's documentation: the reference where Caffe cannot be had.

Shares with the package under test only the message classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def run_net(net: Any, inputs: dict[str, Array]) -> dict[str, Array]:
    """Run a `NetParameter` with weights; return the blobs that no layer reads."""
    blobs = dict(inputs)
    unread: dict[str, None] = {}
    for layer in net.layer:
        if layer.type == "Input":
            continue
        bottoms = [blobs[name] for name in layer.bottom]
        weights = [np.array(blob.data, np.float32).reshape(blob.shape.dim) for blob in layer.blobs]
        tops = LAYERS[layer.type](layer, bottoms, weights)
        for name in layer.bottom:
            unread.pop(name, None)
        for name, value in zip(layer.top, tops, strict=True):
            blobs[name] = value.astype(np.float32)
            unread[name] = None
    return {name: blobs[name] for name in unread}


def _two(parameters: Any, name: str, prefix: str, default: int) -> tuple[int, int]:
    if parameters.HasField(f"{prefix}_h"):
        return getattr(parameters, f"{prefix}_h"), getattr(parameters, f"{prefix}_w")
    values = getattr(parameters, name)
    values = list(values) if hasattr(values, "__len__") else [values]
    values = values or [default]
    return values[0], values[-1]


def _convolution(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p, (x,), weight = layer.convolution_param, bottoms, weights[0]
    (ph, pw), (sh, sw) = _two(p, "pad", "pad", 0), _two(p, "stride", "stride", 1)
    dh, dw = (list(p.dilation) or [1])[0], (list(p.dilation) or [1])[-1]
    count, per_group, kh, kw = weight.shape
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    batch, _, height, width = x.shape
    out_h, out_w = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    groups = x.reshape(batch, p.group, per_group, height, width)
    filters = weight.reshape(p.group, count // p.group, per_group, kh, kw)
    out = np.zeros((batch, p.group, count // p.group, out_h * out_w), np.float32)
    for i in range(kh):
        for j in range(kw):
            rows, columns = i * dh, j * dw
            patch = groups[
                ...,
                rows : rows + sh * (out_h - 1) + 1 : sh,
                columns : columns + sw * (out_w - 1) + 1 : sw,
            ]
            out += filters[..., i, j] @ patch.reshape(batch, p.group, per_group, -1)
    out = out.reshape(batch, count, out_h, out_w)
    return [out + weights[1].reshape(1, -1, 1, 1) if p.bias_term else out]


def _scale(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    (x,) = bottoms
    axis = layer.scale_param.axis % x.ndim
    shape = (*weights[0].shape, *[1] * (x.ndim - axis - weights[0].ndim))
    out = x * weights[0].reshape(shape)
    return [out + weights[1].reshape(shape) if layer.scale_param.bias_term else out]


def _eltwise(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p = layer.eltwise_param
    coefficients = list(p.coeff) or [1.0] * len(bottoms)
    return [sum(c * x for c, x in zip(coefficients, bottoms, strict=True))]


def _slice(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p = layer.slice_param
    return np.split(bottoms[0], list(p.slice_point) or len(layer.top), axis=p.axis)


def _reshape(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p, (x,) = layer.reshape_param, bottoms
    start = p.axis if p.axis >= 0 else x.ndim + 1 + p.axis
    end = x.ndim if p.num_axes == -1 else start + p.num_axes
    dims = [x.shape[start + i] if dim == 0 else dim for i, dim in enumerate(p.shape.dim)]
    return [x.reshape(*x.shape[:start], *dims, *x.shape[end:])]


def _softmax(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    axis = layer.softmax_param.axis
    powers = np.exp(bottoms[0] - bottoms[0].max(axis=axis, keepdims=True))
    return [powers / powers.sum(axis=axis, keepdims=True)]


def _power(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p = layer.power_param
    return [p.shift + p.scale * bottoms[0]]


def _exp(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    return [np.exp(bottoms[0])]


def _relu(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    (x,) = bottoms
    return [np.maximum(x, 0)]


LAYERS: dict[str, Callable[[Any, list[Array], list[Array]], list[Array]]] = {
    "Concat": lambda layer, x, w: [np.concatenate(x, axis=layer.concat_param.axis)],
    "Convolution": _convolution,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Permute": lambda layer, x, w: [x[0].transpose(list(layer.permute_param.order))],
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Slice": _slice,
    "Softmax": _softmax,
}
