"""Reading a `.prototxt` (the layers) and a `.caffemodel` (their weights) as one network."""

from __future__ import annotations

import math
import re
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from ultraface_deploy.converters.caffe.schema import CHANNELS_LAST, NetParameter
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.wire import count_fields

# Far above any network for a small board, far below what parsing would exhaust memory with.
MAX_PROTOTXT_BYTES = 4 << 20
MAX_TOKENS = 300_000
MAX_CAFFEMODEL_BYTES = 1 << 30


# What the parser of protobuf's text format looks at one by one, in Python; lines are such, too.
_TOKEN = re.compile(rb"[\w.+-]+|\"[^\"\n]*\"|\S|\n")


def read_net(prototxt: Path, caffemodel: Path) -> Any:
    """Return the `NetParameter` of the prototxt with the blobs of the caffemodel.

    Layers are matched by name, as Caffe does.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together.
    """
    net, weights = read_prototxt(prototxt), read_caffemodel(caffemodel)
    layers = {layer.name: layer for layer in net.layer}
    for trained in weights.layer:
        if not trained.blobs:
            continue
        layer = layers.get(trained.name)
        if layer is None or (trained.type and trained.type != layer.type):
            found = "has no such layer" if layer is None else f"calls it {layer.type}"
            raise InputError(
                f"{caffemodel} does not belong to {prototxt}: it holds weights for "
                f"{trained.type} layer {trained.name!r}, but the prototxt {found}; "
                "get both files again"
            )
        layer.ClearField("blobs")
        layer.blobs.extend(trained.blobs)
    return net


def read_prototxt(path: Path) -> Any:
    """Return the `NetParameter` of a prototxt, its inputs declared by Input layers.

    Fields that say nothing about inference (fillers, learning rates) are skipped.

    Raises:
        InputError: the file is missing, too large, no prototxt, or of the format before 2015.
    """
    net, content = NetParameter(), _read(path, "prototxt", MAX_PROTOTXT_BYTES)
    if next(islice(_TOKEN.finditer(content), MAX_TOKENS, None), None):
        raise InputError(f"{path}: more than {MAX_TOKENS} words; this is not a detector")
    try:
        text_format.Parse(content.decode(), net, allow_unknown_field=True)
    except (text_format.ParseError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{path}: {damaged(path, 'valid prototxt', reason)}") from error
    except RecursionError as error:
        raise InputError(
            f"{path}: {damaged(path, 'valid prototxt', 'nested too deeply')}"
        ) from error
    _check_net(net, path)
    _declare_inputs(net)
    return net


def read_caffemodel(path: Path) -> Any:
    """Return the `NetParameter` of a caffemodel.

    Raises:
        InputError: the file is missing, too large, truncated, or of the format before 2015.
    """
    content = _read(path, "caffemodel", MAX_CAFFEMODEL_BYTES)
    try:
        count_fields(content, "NetParameter", _messages())
    except ValueError as error:
        raise InputError(f"{path}: {damaged(path, 'caffemodel', error)}") from error
    try:
        # The parser checks every length field against what is left before it allocates.
        net = NetParameter.FromString(content)
    except DecodeError as error:
        raise InputError(f"{path}: {damaged(path, 'caffemodel', 'truncated')}") from error
    _check_net(net, path)
    return net


def input_size(prototxt: Path) -> tuple[int, int] | None:
    """Return (width, height) of the first input, None where it is not an image.

    Raises:
        InputError: the file is not a prototxt.
    """
    for layer in read_prototxt(prototxt).layer:
        if layer.type == "Input" and layer.input_param.shape:
            dims = layer.input_param.shape[0].dim
            return (dims[3], dims[2]) if len(dims) == 4 else None
    return None


def weight_array(blob: Any) -> npt.NDArray[np.float32]:
    """Return a blob's weights in its shape.

    Raises:
        InputError: shape and number of values disagree, or a value is not finite.
    """
    shape = tuple(blob.shape.dim)
    if not blob.HasField("shape"):
        shape = (blob.num, blob.channels, blob.height, blob.width)
    values = np.asarray(blob.double_data or blob.data, np.float32)
    if min(shape, default=1) < 1 or values.size != math.prod(shape):
        raise InputError(f"weights of shape {shape} hold {values.size} values; the file is damaged")
    if not np.isfinite(values).all():
        raise InputError("weights hold NaN or infinity; the file is damaged")
    return values.reshape(shape)


@cache
def _messages() -> dict[str, dict[int, str]]:
    """What leads from the network to further messages, for `count_fields`."""
    found: dict[str, dict[int, str]] = {}
    left = [NetParameter.DESCRIPTOR]
    while left:
        message = left.pop()
        inner = {f.number: f.message_type for f in message.fields if f.message_type is not None}
        found[message.name] = {number: kind.name for number, kind in inner.items()}
        left += [kind for kind in inner.values() if kind.name not in found]
    return found


def _read(path: Path, what: str, limit: int) -> bytes:
    require_file(path, what)
    if path.stat().st_size > limit:
        raise InputError(
            f"{path}: larger than {limit >> 20} MiB; this is not a {what} of a detector"
        )
    return path.read_bytes()


def _check_net(net: Any, path: Path) -> None:
    if net.layers:
        raise InputError(
            f"{path}: in Caffe's format before 2015 (`layers`); convert it with "
            "upgrade_net_proto_text or upgrade_net_proto_binary of Caffe first"
        )
    if not net.layer:
        raise InputError(f"{path}: {damaged(path, 'file of Caffe', 'it holds no layers')}")
    for layer in net.layer:
        # Plain Caffe ignores the order, so that only this one can be left to it.
        if layer.type == "Permute" and list(layer.permute_param.order) not in ([], CHANNELS_LAST):
            raise InputError(
                f"{path}: layer {layer.name!r} permutes by {list(layer.permute_param.order)}; "
                f"only {CHANNELS_LAST} is supported: give the network as .onnx or .pth"
            )
    names = [layer.name for layer in net.layer]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two layers are named {twice!r}; give each a name of its own")


def _declare_inputs(net: Any) -> None:
    """Turn `input:` with `input_dim:` or `input_shape` into Input layers, as Caffe does."""
    inputs, shapes = list(net.input), [list(shape.dim) for shape in net.input_shape]
    dims = list(net.input_dim)
    shapes = shapes or [dims[start : start + 4] for start in range(0, len(dims), 4)]
    layers = list(net.layer)
    for field in ("input", "input_dim", "input_shape", "layer"):
        net.ClearField(field)
    for name, shape in zip(inputs, shapes, strict=False):
        layer = net.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
    net.layer.extend(layers)
