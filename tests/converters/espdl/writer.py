"""Small `.espdl` files, written table by table with FlatBuffers' own builder."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

Fields = Mapping[int, Any]
BLOCK = 16


class Struct(bytes):
    """Bytes that stand in the table itself, aligned to 8."""


class Writer:
    """Turns nested Python values into tables: a dictionary of fields, lists, strings, arrays."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1 << 16)

    def file(self, path: Path, model: Fields) -> None:
        self._builder.Finish(self._table(model))
        body = bytes(self._builder.Output())
        path.write_bytes(struct.pack("<4sII4x", b"EDL2", 0, len(body)) + body)

    def _table(self, fields: Fields) -> int:
        stored = {slot: self._store(value) for slot, value in fields.items()}
        self._builder.StartObject(16)
        for slot, value in stored.items():
            if isinstance(value, Struct):
                self._builder.Prep(8, 8)
                self._builder.PrependInt64(struct.unpack("<q", value)[0])
                self._builder.PrependStructSlot(slot, self._builder.Offset(), 0)
            elif isinstance(value, np.int32):
                self._builder.PrependInt32Slot(slot, int(value), -1)
            else:
                self._builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(self._builder.EndObject())

    def _store(self, value: Any) -> Any:
        if isinstance(value, (Struct, np.int32)):
            return value
        if isinstance(value, str):
            return self._builder.CreateString(value)
        if isinstance(value, Mapping):
            return self._table(value)
        if isinstance(value, np.ndarray):
            return self._builder.CreateNumpyVector(value)
        if isinstance(value, bytes):
            return self._blocks(value)
        offsets = [self._store(each) for each in value]
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return self._builder.EndVector()

    def _blocks(self, content: bytes) -> int:
        """A vector whose elements are 16 bytes."""
        content += bytes(-len(content) % BLOCK)
        self._builder.StartVector(BLOCK, len(content) // BLOCK, BLOCK)
        for byte in reversed(content):
            self._builder.PrependByte(byte)
        return int(self._builder.EndVector())


def stated(name: str, exponent: int) -> Fields:
    """A tensor that is computed."""
    return {0: name, 3: np.array([exponent], np.int64)}


def constant(name: str, dims: Sequence[int], values: np.ndarray, exponents: np.ndarray) -> Fields:
    kind = {"int8": 3, "int32": 6}[values.dtype.name]
    return {
        0: np.array(dims, np.int64),
        1: np.int32(kind),
        6: name,
        8: values.tobytes(),
        13: exponents.astype(np.int64),
    }


def filters(name: str, weight: np.ndarray, exponents: np.ndarray) -> Fields:
    """Weights (N, C / groups, k, k) in blocks of 16 outputs, what is left behind them."""
    count, inner, side, _ = weight.shape
    even = count // BLOCK * BLOCK
    parts = [
        weight[at : at + BLOCK, channel, y, x]
        for at in range(0, even, BLOCK)
        for y in range(side)
        for x in range(side)
        for channel in range(inner)
    ]
    rest = weight[even:]
    # Depthwise: tap by tap; otherwise one output after the other, its channels last.
    parts.append(
        rest.transpose(1, 2, 3, 0).ravel() if inner == 1 else rest.transpose(0, 2, 3, 1).ravel()
    )
    dims = (side, side, count, 1) if inner == 1 else (side, side, inner, count)
    return constant(name, dims, np.concatenate(parts).astype(np.int8), exponents)


def convolution(
    source: str, output: str, groups: int, stride: int, pad: int, activation: str, **changed: Any
) -> Fields:
    def whole(name: str, *values: int) -> Fields:
        return {0: name, 11: np.array(values, np.int64)}

    def text(name: str, value: str) -> Fields:
        return {0: name, 6: np.frombuffer(value.encode(), np.uint8)}

    return {
        0: [source, f"{output}/w", f"{output}/b"],
        1: [output],
        3: changed.get("kind", "Conv"),
        5: [
            text("activation", changed.get("other", activation)),
            text("quant_type", changed.get("quant_type", "S8")),
            whole("dilations", 1, 1),
            whole("pads", pad, pad, pad, pad),
            whole("strides", stride, stride),
            {0: "group", 5: Struct(struct.pack("<q", groups))},
        ],
    }
