"""Caffe networks without Caffe: `.prototxt` and `.caffemodel` from ONNX, and back to ONNX.

    from ultraface_deploy.converters.caffe import read_caffe, write_caffe

    write_caffe(onnx.load("slim-320.sim.onnx"), Path("slim.prototxt"), Path("slim.caffemodel"))
    model = read_caffe(Path("slim.prototxt"), Path("slim.caffemodel"))

`schema` holds the format; `from_onnx` (on `network`) and `to_onnx` (on `graph`) translate between
the two worlds; `writer` and `reader` handle the files.
"""

# Tested by tests/converters/caffe/test_networks.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.converters.caffe.convert import to_caffe

if TYPE_CHECKING:
    import onnx

__all__ = ["FORMAT", "read_caffe", "write_caffe"]


def write_caffe(
    model: onnx.ModelProto, prototxt: Path, caffemodel: Path, remarks: str = ""
) -> None:
    """Write an ONNX network of fixed shapes as a Caffe pair; both files appear or neither.

    Inputs and outputs keep their names: an output is a blob and a layer of that name. The lines
    of `remarks` stand as comments above the prototxt.

    Raises:
        InputError: a node has no Caffe equivalent, or a file cannot be written.
    """
    from ultraface_deploy.converters.caffe.from_onnx import net_from_onnx
    from ultraface_deploy.converters.caffe.writer import write_net

    write_net(net_from_onnx(model, prototxt.stem), prototxt, caffemodel, remarks)


def read_caffe(prototxt: Path, caffemodel: Path) -> onnx.ModelProto:
    """Read a Caffe pair as a checked ONNX network (opset 13, float32).

    Raises:
        InputError: a file is missing or damaged, the two do not belong together, or a layer
            type has no translation.
    """
    from ultraface_deploy.converters.caffe.reader import read_net
    from ultraface_deploy.converters.caffe.to_onnx import onnx_from_net
    from ultraface_deploy.errors import InputError

    net = read_net(prototxt, caffemodel)
    try:
        return onnx_from_net(net)
    except InputError as error:
        raise InputError(
            f"{prototxt}: {error}; get both files again, or give the network as .onnx or .pth"
        ) from error


def _check(files: Files) -> None:
    from ultraface_deploy.converters.caffe.reader import read_net

    read_net(*files)


def _input_size(files: Files) -> tuple[int, int] | None:
    from ultraface_deploy.converters.caffe.reader import input_size

    return input_size(files[0])


FORMAT = Format(
    name="caffe",
    suffixes=(".prototxt", ".caffemodel"),
    source="onnxsim",
    precisions={"fp32": to_caffe},
    packages=("onnx",),
    extra="onnx",
    check=_check,
    input_size=_input_size,
    adopt=lambda files: read_caffe(*files),
)
