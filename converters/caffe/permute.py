"""SSD's Permute layer written out in layers that every Caffe has."""

from __future__ import annotations

from typing import Any

from ultraface_deploy.converters.caffe.schema import NetParameter
from ultraface_deploy.errors import InputError

_TO_CHANNELS_LAST = [0, 2, 3, 1]


def without_permute(net: Any) -> Any:
    """Return the same network without Permute layers, for a Caffe that lacks them.

    A blob (N, C, H, W) is sliced into its channels, each becomes a column (N, H * W, 1), and the
    columns are joined to (N, H * W, C): the values of (N, H, W, C) in the same order. Layers with
    weights keep their names, so the caffemodel fits both.

    Raises:
        InputError: a Permute layer is not a channels-last one between a Convolution and a Reshape.
    """
    out = NetParameter(name=net.name)
    for layer in net.layer:
        if layer.type == "Permute":
            _write_out(out, layer, _channels(net, layer))
        else:
            out.layer.add().CopyFrom(layer)
    return out


def _channels(net: Any, permute: Any) -> int:
    writers = [layer for layer in net.layer if permute.bottom[0] in layer.top]
    readers = [layer for layer in net.layer if permute.top[0] in layer.bottom]
    # The joined columns have one axis less; a Reshape that copies no axis but the first is blind
    # to that.
    blind = all(
        reader.type == "Reshape" and 0 not in list(reader.reshape_param.shape.dim)[1:]
        for reader in readers
    )
    order = list(permute.permute_param.order)
    if order != _TO_CHANNELS_LAST or not (readers and blind) or writers[-1].type != "Convolution":
        raise InputError(
            f"layer {permute.name!r} (Permute): this Caffe lacks the layer type, and only a "
            "channels-last Permute between a Convolution and a Reshape can be written out"
        )
    return int(writers[-1].convolution_param.num_output)


def _write_out(net: Any, permute: Any, channels: int) -> None:
    pieces = [f"{permute.name}_{channel}" for channel in range(1, channels + 1)]
    columns = [f"{piece}_column" for piece in pieces]
    cut = net.layer.add(
        name=f"{permute.name}_slice", type="Slice", bottom=permute.bottom, top=pieces
    )
    cut.slice_param.slice_point.extend(range(1, channels))
    for piece, column in zip(pieces, columns, strict=True):
        layer = net.layer.add(name=column, type="Reshape", bottom=[piece], top=[column])
        layer.reshape_param.shape.dim.extend([0, -1, 1])
    joined = net.layer.add(name=permute.name, type="Concat", bottom=columns, top=permute.top)
    joined.concat_param.axis = 2
