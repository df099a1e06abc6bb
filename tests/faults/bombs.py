"""Model files that would take gigabytes, one of each format, and what a command does with them."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.converters import get_format
from ultraface_deploy.safe.files import sha256_of

_PAD = 20_000


def _onnx(files: Sequence[Path], kind: str = "ConstantOfShape") -> None:
    """Something that takes gigabytes or hours before the network's outputs."""
    import onnx
    from onnx import helper

    model = onnx.load(str(files[0]))
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if name != output else "before" for name in node.output]
    _ONNX[kind](model)
    model.graph.node.append(helper.make_node("Add", ["before", "sum"], [output]))
    files[0].write_bytes(model.SerializeToString())


def _number(name: str, *values: int) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def _grown(operator: str, *sides: int) -> Callable[[Any], None]:
    """One number that an operator makes 3 GiB of."""

    def add(model: Any) -> None:
        from onnx import TensorProto, helper

        one = helper.make_tensor("one", TensorProto.FLOAT, [1] * len(sides), [0.0])
        model.graph.initializer.extend([one, _number("sides", *sides)])
        inputs, more = ["one", "sides"], {}
        if operator == "ConstantOfShape":
            inputs = ["sides"]
        elif operator == "Range":
            model.graph.initializer.extend(
                helper.make_tensor(name, TensorProto.FLOAT, [], [value])
                for name, value in (("start", 0.0), ("limit", 8e8), ("step", 1.0))
            )
            inputs = ["start", "limit", "step"]
        elif operator == "Resize":
            factors = helper.make_tensor("factors", TensorProto.FLOAT, [4], list(map(float, sides)))
            model.graph.initializer.append(factors)
            inputs = ["one", "", "factors"]
        elif operator == "Pad":
            model.graph.initializer.append(_number("pads", *[0] * len(sides), *sides))
            inputs = ["one", "pads"]
        model.graph.node.extend(
            [
                helper.make_node(operator, inputs, ["huge"], **more),
                helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
            ]
        )

    return add


def _loop(model: Any) -> None:
    """A loop that never ends."""
    from onnx import TensorProto, helper

    def value(name: str, kind: int) -> Any:
        return helper.make_tensor_value_info(name, kind, [])

    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["goes"]),
            helper.make_node("Add", ["x", "x"], ["twice"]),
        ],
        "body",
        [value("i", TensorProto.INT64), value("go", TensorProto.BOOL), value("x", 1)],
        [value("goes", TensorProto.BOOL), value("twice", 1)],
    )
    start = helper.make_tensor("start", TensorProto.FLOAT, [], [0.0])
    most = helper.make_tensor("most", TensorProto.INT64, [], [1 << 62])
    model.graph.initializer.extend([yes, start, most])
    model.graph.node.append(helper.make_node("Loop", ["most", "yes", "start"], ["sum"], body=body))


def _functions(model: Any) -> None:
    """Functions that each call the one before twice: 2^30 nodes once they are written out."""
    from onnx import TensorProto, helper

    standard = helper.make_opsetid("", model.opset_import[0].version)
    own = helper.make_opsetid("own", 1)
    for number in range(30):
        inner, domain = ("Neg", "") if number == 0 else (f"f{number - 1}", "own")
        nodes = [
            helper.make_node(inner, ["x"], ["y"], domain=domain),
            helper.make_node(inner, ["y"], ["z"], domain=domain),
        ]
        function = helper.make_function("own", f"f{number}", ["x"], ["z"], nodes, [standard, own])
        model.functions.append(function)
    model.opset_import.append(own)
    model.graph.initializer.append(helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]))
    model.graph.node.append(helper.make_node("f29", ["zero"], ["sum"], domain="own"))


def _sparse(model: Any) -> None:
    """A sparse weight of one number, of which 3 GiB are said to be zeros."""
    from onnx import TensorProto, helper

    value = helper.make_tensor("huge", TensorProto.FLOAT, [1], [0.0])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(value, _number("places", 5), [3 << 28])
    )
    model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))


def _claimed(model: Any) -> None:
    """A weight that is said to have 2^60 numbers, and has none."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[1 << 30, 1 << 30])
    model.graph.initializer.append(tensor)
    model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))


def _texts(model: Any) -> None:
    """Texts, which become an object each: 200,000 of them, tiled to 2 billion."""
    from onnx import helper

    model.graph.initializer.extend(
        [
            helper.make_tensor("texts", 8, [200_000], [b""] * 200_000),
            _number("times", 10_000),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("Tile", ["texts", "times"], ["many"]),
            helper.make_node("Shape", ["many"], ["shape"]),
            helper.make_node("Cast", ["shape"], ["shape_f"], to=1),
            helper.make_node("ReduceSum", ["shape_f"], ["sum"], keepdims=0),
        ]
    )


_ONNX: dict[str, Callable[[Any], None]] = {
    "ConstantOfShape": _grown("ConstantOfShape", 3 << 28),
    "Expand": _grown("Expand", 3 << 18, 1 << 10),
    "Tile": _grown("Tile", 3 << 14, 1 << 14),
    "Range": _grown("Range", 1),
    "Resize": _grown("Resize", 1, 1, 3 << 14, 1 << 14),
    "Pad": _grown("Pad", 3 << 14, 1 << 14),
    "Loop": _loop,
    "functions": _functions,
    "sparse": _sparse,
    "claimed": _claimed,
    "texts": _texts,
}
ENDLESS = frozenset({"Loop", "functions"})
ONNX_BOMBS = {kind: partial(_onnx, kind=kind) for kind in _ONNX}


def _mnn(files: Sequence[Path]) -> None:
    from tests.fuzz.structure import mnn_edited

    def edit(text: str) -> str:
        return re.sub(r'"pads":\s*\[[^\]]*\]', f'"pads": {[_PAD] * 4}', text, count=1)

    files[0].write_bytes(mnn_edited(files[0].read_bytes(), edit))


def _ncnn(files: Sequence[Path]) -> None:
    """Paddings of the first convolution, to the left and above."""
    head, first, rest = re.split(r"(\nConvolution .*)", files[0].read_text(), maxsplit=1)
    files[0].write_text(head + re.sub(r" (4|14)=\d+", rf" \1={_PAD}", first) + rest)


def _caffe(files: Sequence[Path]) -> None:
    text = files[0].read_text()
    files[0].write_text(re.sub(r"pad: \d+", f"pad: {_PAD}", text, count=1))


def _tflite(files: Sequence[Path]) -> None:
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(files[0].read_bytes(), 0)
    graph = model.subgraphs[0]
    pad = next(each for each in graph.operators if len(each.inputs) == 2)
    amounts = np.array([[0, 0], [_PAD, _PAD], [_PAD, _PAD], [0, 0]], np.int32)
    model.buffers[graph.tensors[pad.inputs[1]].buffer].data = amounts.view(np.uint8).ravel()
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    files[0].write_bytes(bytes(builder.Output()))


def _openvino(files: Sequence[Path]) -> None:
    text = files[0].read_text()
    edited = re.sub(r'pads_(begin|end)="[^"]*"', rf'pads_\1="{_PAD}, {_PAD}"', text, count=2)
    assert edited != text
    files[0].write_text(edited)


def _torch(files: Sequence[Path]) -> None:
    size = (2500 << 20).to_bytes(5, "little")
    with zipfile.ZipFile(files[0], "w") as archive:
        call = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + size + b"\x85R."
        archive.writestr("archive/data.pkl", call)


def _c(files: Sequence[Path]) -> None:
    text = files[0].read_text()
    files[0].write_text(re.sub(r"(static const float \w+)\[\d+\]", r"\1[900000000]", text, count=1))


def _coreml(files: Sequence[Path]) -> None:
    """A program of ten million functions that have nothing in them."""
    empty = b"\x12\x00" * 10_000_000
    length = bytes(len(empty) >> shift & 0x7F | 0x80 for shift in (0, 7, 14)) + b"\x09"
    files[0].write_bytes(b"\xb2\x1f" + length + empty)


def _kmodel(files: Sequence[Path]) -> None:
    """Every number behind the name of the format is the largest that there is."""
    content = files[0].read_bytes()
    files[0].write_bytes(content[:4] + b"\xff" * (len(content) - 4))


def _espdl(files: Sequence[Path]) -> None:
    """Every number behind the head of the file is the largest that there is."""
    content = files[0].read_bytes()
    files[0].write_bytes(content[:16] + b"\xff" * (len(content) - 16))


def _rknn(files: Sequence[Path]) -> None:
    """The network that its simulator runs."""
    _onnx(files[1:2])


BOMBS: dict[str, Callable[[Sequence[Path]], None]] = {
    **dict.fromkeys(("onnx", "onnxsim"), _onnx),
    **dict.fromkeys(("tflite", "ethosu"), _tflite),
    **{"mnn": _mnn, "ncnn": _ncnn, "caffe": _caffe, "openvino": _openvino},
    **{"coreml": _coreml, "kmodel": _kmodel, "rknn": _rknn, "espdl": _espdl},
    **{"torch": _torch, "c": _c},
}


def with_ethosu(folder: ArtifactFolder) -> ArtifactFolder:
    """List the files of an Ethos-U artifact too, whose compiler takes minutes.

    Its network is the one of the TensorFlow Lite file.
    """
    if not folder.has("tflite"):
        return folder
    names = [f"{folder.spec.name}.int8{end}" for end in get_format("ethosu").suffixes]
    content = folder.files(folder.find("tflite"))[0].read_bytes()
    for name, each in zip(names, (content, content, b"{}"), strict=True):
        (folder.path / name).write_bytes(each)
    manifest = json.loads((folder.path / MANIFEST).read_text())
    (listed,) = (each for each in manifest["artifacts"] if each["id"] == "tflite")
    sums = {name: sha256_of(folder.path / name) for name in names}
    entry = {"id": "ethosu-int8", "format": "ethosu", "precision": "int8", "sha256": sums}
    manifest["artifacts"].append(listed | entry | {"files": names})
    (folder.path / MANIFEST).write_text(json.dumps(manifest))
    return ArtifactFolder.open(folder.path)


def make_bombs(folder: ArtifactFolder, target: Path, sound: str = "") -> ArtifactFolder:
    """Copy a folder, each file a bomb; the manifest of a stranger holds their right sums.

    Files of the format `sound` stay as they are.

    The checkpoint is no entry of it, or its refusal would hide all others.
    """
    shutil.copytree(folder.path, target)
    for artifact in folder.artifacts:
        if artifact.format != sound:
            BOMBS[artifact.format]([target / name for name in artifact.files])
    manifest = json.loads((target / MANIFEST).read_text())
    kept = [each for each in manifest["artifacts"] if each["format"] != "torch"]
    for each in kept:
        each["verification"] = None
        each["sha256"] = {name: sha256_of(target / name) for name in each["files"]}
    (target / MANIFEST).write_text(json.dumps(manifest | {"artifacts": kept}))
    return ArtifactFolder.open(target)
