"""Writing a network as `.prototxt` for people and `.caffemodel` for its weights."""

# Tested by tests/converters/caffe/test_networks.py.

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from ultraface_deploy.converters.caffe.schema import LayerParameter, NetParameter
from ultraface_deploy.safe.files import replacing


def write_net(net: Any, prototxt: Path, caffemodel: Path, remarks: str = "") -> None:
    """Write a `NetParameter` as a pair of files that appear together or not at all.

    The lines of `remarks` stand as comments above the prototxt.

    Raises:
        InputError: a file cannot be written.
    """
    with replacing(prototxt) as text, replacing(caffemodel) as binary:
        comments = "".join(f"# {line}\n" for line in remarks.splitlines())
        text.write_text(comments + prototxt_text(net), encoding="utf-8")
        binary.write_bytes(net.SerializeToString(deterministic=True))


def prototxt_text(net: Any) -> str:
    """Return the text form of a network without its blobs, each layer's parameters on one line."""
    head = text_format.MessageToString(NetParameter(name=net.name), as_utf8=True)
    return head + "".join(map(_layer_text, net.layer))


def _layer_text(layer: Any) -> str:
    wiring = LayerParameter(name=layer.name, type=layer.type, bottom=layer.bottom, top=layer.top)
    text = text_format.MessageToString(wiring, as_utf8=True, indent=2)
    for field, value in layer.ListFields():
        if field.name.endswith("_param"):
            inner = text_format.MessageToString(value, as_one_line=True)
            text += f"  {field.name} {{ {inner} }}\n"
    return f"layer {{\n{text}}}\n"
