"""Caffe's layers in NumPy, from Caffe's documentation: the reference where Caffe cannot be had.

Shares with the package under test only the message classes.
"""

from __future__ import annotations

import math
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


def _inner_product(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p, (x,) = layer.inner_product_param, bottoms
    axis = p.axis % x.ndim
    matrix = weights[0] if p.transpose else weights[0].T
    out = x.reshape(*x.shape[:axis], -1) @ matrix
    return [out + weights[1] if p.bias_term else out]


def _pooling(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p, (x,) = layer.pooling_param, bottoms
    average = p.pool == 1
    if p.global_pooling:
        return [(x.mean if average else x.max)(axis=(2, 3), keepdims=True)]
    kernel, pad = _two(p, "kernel_size", "kernel", 0), _two(p, "pad", "pad", 0)
    stride = _two(p, "stride", "stride", 1)
    out_size = []
    for size, k, extra, s in zip(x.shape[2:], kernel, pad, stride, strict=True):
        out = math.ceil((size + 2 * extra - k) / s) + 1
        if extra and (out - 1) * s >= size + extra:
            out -= 1
        out_size.append(out)
    out = np.empty((*x.shape[:2], *out_size), np.float32)
    for i in range(out_size[0]):
        for j in range(out_size[1]):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            # The divisor of an average counts padding, up to the padded edge.
            area = (min(top + kernel[0], x.shape[2] + pad[0]) - top) * (
                min(left + kernel[1], x.shape[3] + pad[1]) - left
            )
            window = x[:, :, max(top, 0) : top + kernel[0], max(left, 0) : left + kernel[1]]
            out[:, :, i, j] = window.sum(axis=(2, 3)) / area if average else window.max(axis=(2, 3))
    return [out]


def _batch_norm(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    (x,), (mean, variance, factor) = bottoms, weights
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance = (value / factor[0] for value in (mean, variance))
    deviation = np.sqrt(variance + layer.batch_norm_param.eps)
    return [(x - mean.reshape(shape)) / deviation.reshape(shape)]


def _scale(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    (x,) = bottoms
    axis = layer.scale_param.axis % x.ndim
    shape = (*weights[0].shape, *[1] * (x.ndim - axis - weights[0].ndim))
    out = x * weights[0].reshape(shape)
    return [out + weights[1].reshape(shape) if layer.scale_param.bias_term else out]


def _eltwise(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p = layer.eltwise_param
    if p.operation == 0:
        return [np.prod(bottoms, axis=0)]
    if p.operation == 2:
        return [np.max(bottoms, axis=0)]
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


def _flatten(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p, (x,) = layer.flatten_param, bottoms
    end = p.end_axis % x.ndim
    return [x.reshape(*x.shape[: p.axis], -1, *x.shape[end + 1 :])]


def _softmax(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    axis = layer.softmax_param.axis
    powers = np.exp(bottoms[0] - bottoms[0].max(axis=axis, keepdims=True))
    return [powers / powers.sum(axis=axis, keepdims=True)]


def _power(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p = layer.power_param
    return [(p.shift + p.scale * bottoms[0]) ** p.power]


def _exp(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    p = layer.exp_param
    return [(math.e if p.base == -1 else p.base) ** (p.shift + p.scale * bottoms[0])]


def _relu(layer: Any, bottoms: list[Array], weights: list[Array]) -> list[Array]:
    (x,) = bottoms
    return [np.where(x > 0, x, layer.relu_param.negative_slope * x)]


LAYERS: dict[str, Callable[[Any, list[Array], list[Array]], list[Array]]] = {
    "BatchNorm": _batch_norm,
    "Concat": lambda layer, x, w: [np.concatenate(x, axis=layer.concat_param.axis)],
    "Convolution": _convolution,
    "Dropout": lambda layer, x, w: x,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Permute": lambda layer, x, w: [x[0].transpose(list(layer.permute_param.order))],
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": lambda layer, x, w: [1 / (1 + np.exp(-x[0]))],
    "Silence": lambda layer, x, w: [],
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": lambda layer, x, w: x * len(layer.top),
    "TanH": lambda layer, x, w: [np.tanh(x[0])],
}
