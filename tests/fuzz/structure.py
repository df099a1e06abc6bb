"""Damages files by what they hold: every piece stays well formed, and what it says is nonsense.

Damaged bytes rarely come past a format's first check. Here a file is taken apart by its schema
into a tree, something in the tree is changed (a number, a name, what refers to what, how often a
piece is there), and the tree is written as a sound file again. A seed always gives the same damage.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Files = Mapping[str, bytes]
Damage = Callable[[Files, str], Files]
"""Good files by name and a seed -> the files, damaged."""

_WHOLE = (0, 1, -1, 2, 7, 255, 65536, 1 << 28, (1 << 31) - 1, -(1 << 31), (1 << 32) - 1, 1 << 62)
_BROKEN = (0.0, -1.0, 1e-30, 3e38, -3e38, float("inf"), float("nan"))
_WORDS = ("", "a" * 3000, "\0", "../../x", "%s%n", "input", "scores", "1e999")
_MANY = 300
# A list of more is weights, which are cut or emptied as a whole.
_LONG = 64


def damaged_tree(tree: Any, generator: random.Random) -> Any:
    """Return a copy of dicts, lists, objects and numbers with one to four places changed.

    A value keeps its type, except that anything may be None.
    """
    tree = copy.deepcopy(tree)
    for _ in range(generator.choice((1, 1, 2, 4))):
        places = list(_places(tree))
        if not places:
            break
        _change(*generator.choice(places), [held[key] for held, key in places], generator)
    return tree


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """All that can be changed: where it is held, and by which key."""
    held = node if isinstance(node, dict | list) else getattr(node, "__dict__", None)
    if held is None:
        return
    keys = range(len(held)) if isinstance(held, list) else list(held)
    for key in list(keys)[:_LONG] if isinstance(held, list) and len(held) > _LONG else keys:
        yield held, key
        yield from _places(held[key])


def _change(held: Any, key: Any, others: list[Any], generator: random.Random) -> None:
    """Change one place; `others` are all values of the tree, to take from."""
    value = held[key]
    action = generator.random()
    if action < 0.1:
        held[key] = None
    elif isinstance(held, list) and action < 0.25:
        del held[key]
    elif isinstance(held, list) and action < 0.4:
        held.insert(generator.randrange(len(held) + 1), copy.deepcopy(value))
    elif isinstance(value, bool):
        held[key] = not value
    elif action < 0.6 or isinstance(value, dict) or hasattr(value, "__dict__"):
        alike = [other for other in others if type(other) is type(value)]
        held[key] = copy.deepcopy(generator.choice(alike))
    else:
        held[key] = _another(value, generator)


def _another(value: Any, generator: random.Random) -> Any:
    """Return something of the same type."""
    if isinstance(value, int):
        return generator.choice((*_WHOLE, value - 1, value + 1, value + 64))
    if isinstance(value, float):
        return generator.choice(_BROKEN)
    if isinstance(value, str):
        return generator.choice(_WORDS)
    if isinstance(value, list) or hasattr(value, "dtype"):
        many = _MANY if isinstance(value, list) and len(value) < _LONG else 1
        return generator.choice((value[: len(value) // 2], value[:0], value[::-1], value[:] * many))
    return value


def damaged_message(message: Any, generator: random.Random) -> None:
    """Change one to four fields of a protobuf message or of those in it."""
    for _ in range(generator.choice((1, 1, 2, 4))):
        messages = list(_messages(message))
        chosen = generator.choice(messages)
        field = generator.choice(chosen.DESCRIPTOR.fields)
        alike = [other for other in messages if other.DESCRIPTOR is chosen.DESCRIPTOR]
        # Some values are none for a field.
        with suppress(ValueError, TypeError):
            _change_field(chosen, field, generator.choice(alike), generator)


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if _repeated(field) else (value,):
                yield from _messages(each)


def _repeated(field: Any) -> bool:
    # Older versions of protobuf know the label alone, newer ones no longer that.
    found = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if found is None else found)


def _change_field(message: Any, field: Any, other: Any, generator: random.Random) -> None:
    """Change a field; `other` is a message of the same kind, to copy from."""
    if _repeated(field):
        values = getattr(message, field.name)
        more = list(getattr(other, field.name))[:_LONG]
        action = generator.randrange(4)
        if action == 0 and len(values):
            del values[generator.randrange(len(values)) :]
        elif action == 1:
            values.extend(more * (1 if field.message_type or not more else _MANY))
        elif action == 2 and len(values):
            del values[generator.randrange(len(values))]
        elif field.message_type is not None:
            values.add()
        elif len(values):
            values[generator.randrange(len(values))] = _scalar(field, generator)
    elif generator.random() < 0.2:
        message.ClearField(field.name)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(getattr(other, field.name))
    else:
        value = getattr(other, field.name)
        setattr(
            message, field.name, _scalar(field, generator) if generator.random() < 0.6 else value
        )


def _scalar(field: Any, generator: random.Random) -> Any:
    kind = field.cpp_type
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return generator.choice(_BROKEN)
    if kind == field.CPPTYPE_STRING:
        word = generator.choice(_WORDS)
        return word.encode() if field.type == field.TYPE_BYTES else word
    if kind == field.CPPTYPE_BOOL:
        return generator.random() < 0.5
    if kind == field.CPPTYPE_ENUM:
        return generator.choice([value.number for value in field.enum_type.values] + [99])
    return generator.choice(_WHOLE)


def onnx_file(files: Files, seed: str) -> Files:
    """Damage an ONNX network."""
    import onnx

    model = onnx.ModelProto.FromString(files["net.onnx"])
    damaged_message(model, random.Random(seed))
    return {"net.onnx": model.SerializeToString()}


def caffe_pair(files: Files, seed: str) -> Files:
    """Damage a Caffe network, or its weights."""
    from google.protobuf import text_format

    from ultraface_deploy.converters.caffe.schema import NetParameter

    generator = random.Random(seed)
    net = text_format.Parse(files["net.prototxt"].decode(), NetParameter())
    weights = NetParameter.FromString(files["net.caffemodel"])
    damaged_message(generator.choice((net, net, weights)), generator)
    text = text_format.MessageToString(net)
    return {"net.prototxt": text.encode(), "net.caffemodel": weights.SerializeToString()}


def ncnn_pair(files: Files, seed: str) -> Files:
    """Damage the layers of an ncnn network; their count stays right, weights grow or shrink."""
    generator = random.Random(seed)
    magic, counts, *lines = files["net.param"].decode().splitlines()
    layers = [_ncnn_words(line) for line in lines if line.strip()]
    layers = [layer for layer in damaged_tree(layers, generator) if layer]
    blobs = sum(len(layer.get("outputs") or []) for layer in layers)
    blobs = generator.choice((blobs, blobs, blobs, int(counts.split()[1]), 1, 1 << 24))
    weights = files["net.bin"]
    weights = generator.choice((weights, weights, weights[: len(weights) // 2], weights * 2, b""))
    text = "\n".join([magic, f"{len(layers)} {blobs}", *map(_ncnn_line, layers)]) + "\n"
    return {"net.param": text.encode("utf-8", "replace"), "net.bin": weights}


def _ncnn_words(line: str) -> dict[str, Any]:
    kind, name, inputs, outputs, *rest = line.split()
    first, last = int(inputs), int(inputs) + int(outputs)
    parameters = {}
    for word in rest[last:]:
        key, _, value = word.partition("=")
        parameters[key] = [_number(each) for each in value.split(",")]
    names = {"inputs": rest[:first], "outputs": rest[first:last]}
    return {"type": kind, "name": name, **names, "parameters": parameters}


def _ncnn_line(layer: Mapping[str, Any]) -> str:
    inputs, outputs = (list(map(str, layer.get(key) or [])) for key in ("inputs", "outputs"))
    named = (layer.get("parameters") or {}).items()
    words = [f"{key}={','.join(map(str, value or ['']))}" for key, value in named]
    counts = [str(len(inputs)), str(len(outputs))]
    head = [str(layer.get("type") or "Noop"), str(layer.get("name") or "x")]
    return " ".join([*head, *counts, *inputs, *outputs, *words]).replace("\n", "")


def _number(word: str) -> int | float:
    return int(word) if re.fullmatch(r"-?\d+", word) else float(word)


def tflite_file(files: Files, seed: str) -> Files:
    """Damage a TensorFlow Lite network by the object interface of its schema."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = files["net.tflite"]
    for attempt in range(20):
        model = damaged_tree(
            schema.ModelT.InitFromPackedBuf(content, 0), random.Random(f"{seed}/{attempt}")
        )
        builder = flatbuffers.Builder(1 << 20)
        try:
            builder.Finish(model.Pack(builder), b"TFL3")
        except Exception:
            continue  # no such file can be written
        return {"net.tflite": bytes(builder.Output())}
    return files


# Weights in the JSON form of an MNN file.
_NUMBERS = re.compile(r"\[[-+\d.eE,\s]{400,}\]")


def mnn_file(files: Files, seed: str) -> Files:
    """Damage an MNN network in the JSON form that its converter writes and reads."""
    text, weights = _mnn_text(files["net.mnn"])
    tree = json.loads(text)
    for attempt in range(20):
        damaged = json.dumps(damaged_tree(tree, random.Random(f"{seed}/{attempt}")))
        if (made := _from_mnn_text(damaged, weights)) is not None:
            return {"net.mnn": made}
    return files


def mnn_edited(content: bytes, edit: Callable[[str], str]) -> bytes:
    """Return an MNN file whose JSON form was edited."""
    text, weights = _mnn_text(content)
    made = _from_mnn_text(edit(text), weights)
    assert made is not None
    return made


def _from_mnn_text(text: str, weights: list[str]) -> bytes | None:
    whole = re.sub(r'\["@(\d+)"\]', lambda found: weights[int(found[1])], text)
    return _by_mnn_tool("JSON", whole.encode(), "--MNNModel")


@lru_cache(maxsize=4)
def _mnn_text(content: bytes) -> tuple[str, list[str]]:
    """Return an MNN file as JSON with its weights taken out, and the weights."""
    made = _by_mnn_tool("MNN", content, "--JsonFile")
    assert made is not None
    weights: list[str] = []

    def take(found: re.Match[str]) -> str:
        weights.append(found[0])
        return f'["@{len(weights) - 1}"]'

    return _NUMBERS.sub(take, made.decode()), weights


def _by_mnn_tool(form: str, content: bytes, target: str) -> bytes | None:
    """Translate a file in a fork, which the converter may crash; None where it made none."""
    with tempfile.TemporaryDirectory(prefix="mnn-") as name:
        source, output = Path(name, "source"), Path(name, "output")
        source.write_bytes(content)
        process = os.fork()
        if process == 0:
            try:
                silence = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silence, 1)
                os.dup2(silence, 2)
                import _tools

                given = ["-f", form, "--modelFile", str(source), target, str(output)]
                _tools.mnnconvert(["mnnconvert", *given, "--bizCode", "mnn"])
            finally:
                os._exit(0)
        os.waitpid(process, 0)
        return output.read_bytes() if output.is_file() and output.stat().st_size else None


def openvino_pair(files: Files, seed: str) -> Files:
    """Damage the description of an OpenVINO network: its elements and their attributes."""
    root = ElementTree.fromstring(files["net.xml"])
    for attempt in range(20):
        tree = damaged_tree(_element_tree(root), random.Random(f"{seed}/{attempt}"))
        try:
            text = ElementTree.tostring(_element(tree))
            ElementTree.fromstring(text)
        except (TypeError, ValueError, KeyError, AttributeError, ElementTree.ParseError):
            continue  # no such file can be written
        return {**files, "net.xml": text}
    return files


def _element_tree(node: ElementTree.Element) -> dict[str, Any]:
    values = {key: _plain(value) for key, value in node.attrib.items()}
    text = (node.text or "").strip()
    return {"tag": node.tag, "values": values, "text": text, "in": list(map(_element_tree, node))}


def _element(tree: dict[str, Any]) -> ElementTree.Element:
    values = {key: str(value) for key, value in (tree["values"] or {}).items()}
    node = ElementTree.Element(tree["tag"], values)
    node.text = tree["text"]
    node.extend(map(_element, filter(None, tree["in"] or [])))
    return node


def c_pair(files: Files, seed: str) -> Files:
    """Damage the words and numbers of a C file or its header, weights left out."""
    generator = random.Random(seed)
    victim = generator.choice(sorted(files))
    words = re.split(r"(\w+)", files[victim].decode())
    places = [
        i for i, word in enumerate(words[:200_000]) if re.fullmatch(r"[A-Za-z_]\w*|\d+", word)
    ]
    for place in generator.sample(places, generator.choice((1, 1, 2, 4))):
        other = words[generator.choice(places)]
        words[place] = generator.choice((other, *map(str, _WHOLE), "system", "#include", "{", ""))
    return {**files, victim: "".join(words).encode()}


def toml_file(files: Files, seed: str) -> Files:
    """Damage a file of settings, as JSON's values are written in TOML alike."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    tree = damaged_tree(tomllib.loads(files["a.toml"].decode()), random.Random(seed))
    lines = []
    for name, table in tree.items():
        held = table if isinstance(table, dict) else {"": table}
        lines += [f"[{json.dumps(str(name))}]"]
        lines += [f"{json.dumps(str(k))} = {json.dumps(v)}" for k, v in held.items()]
    return {"a.toml": "\n".join(lines).encode("utf-8", "replace")}


def safetensors_file(files: Files, seed: str) -> Files:
    """Damage the header of a safetensors file: names, types, shapes, offsets, the description."""
    content = files["net.safetensors"]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    described = header.get("__metadata__", {})
    generator = random.Random(seed)
    if described and generator.random() < 0.4:
        key = next(key for key in described if key != "format")
        described[key] = json.dumps(damaged_tree(json.loads(described[key]), generator))
    else:
        header = damaged_tree(header, generator)
    text = json.dumps(header).encode("utf-8", "replace")
    stated = generator.choice((*[len(text)] * 8, len(text) + 8, 1 << 40))
    return {"net.safetensors": struct.pack("<Q", stated) + text + content[8 + length :]}


def json_file(files: Files, seed: str) -> Files:
    """Damage JSON files, one of them."""
    generator = random.Random(seed)
    victim = generator.choice(sorted(files))
    tree = damaged_tree(json.loads(files[victim]), generator)
    return {**files, victim: json.dumps(tree).encode("utf-8", "replace")}


def word_files(files: Files, seed: str) -> Files:
    """Damage a text file of rows and words; binary files beside it stay."""
    generator = random.Random(seed)
    victim = generator.choice(sorted(name for name in files if name.endswith((".txt", ".yaml"))))
    rows = [line.split(" ") for line in files[victim].decode().splitlines()]
    rows = damaged_tree([[_plain(word) for word in row] for row in rows], generator)
    text = "\n".join(" ".join(map(str, row or [])) for row in rows)
    return {**files, victim: text.encode("utf-8", "replace")}


def _plain(word: str) -> int | float | str:
    try:
        return _number(word)
    except ValueError:
        return word
