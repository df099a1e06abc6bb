"""Tables of FlatBuffers: what the library wrote is read, what points elsewhere is refused."""

from __future__ import annotations

import struct

import flatbuffers
import numpy as np
import pytest

from ultraface_deploy.safe.flatbuffer import Table


@pytest.fixture(scope="module")
def content() -> bytes:
    """A table with a string, numbers, a list of strings and a table; field 4 is not there."""
    builder = flatbuffers.Builder(64)
    name, numbers = builder.CreateString("Gesicht é"), builder.CreateNumpyVector(np.arange(5))
    inner_name = builder.CreateString("inner")
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, inner_name, 0)
    inner = builder.EndObject()
    builder.StartVector(4, 2, 4)
    builder.PrependUOffsetTRelative(inner_name)
    builder.PrependUOffsetTRelative(name)
    texts = builder.EndVector()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(inner)
    tables = builder.EndVector()
    builder.StartObject(7)
    for slot, offset in enumerate((name, numbers, texts, inner)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.PrependInt32Slot(5, -7, 0)
    builder.PrependUOffsetTRelativeSlot(6, tables, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def test_what_the_library_wrote(content: bytes) -> None:
    table = Table.root(content)
    assert table.text(0) == "Gesicht é"
    assert table.array(1, "<i8").tolist() == [0, 1, 2, 3, 4]
    assert table.array(1, "u1", width=8).size == 40
    assert table.texts(2) == ["Gesicht é", "inner"]
    assert table.table(3).text(0) == "inner"
    assert table.number(5) == -7
    assert [each.text(0) for each in table.tables(6)] == ["inner"]


def test_what_is_not_there(content: bytes) -> None:
    table = Table.root(content)
    for field in (4, 7, 99):
        assert table.text(field) == "" and table.number(field, default=3) == 3
        assert table.tables(field) == [] and table.array(field, "<i8").size == 0
        with pytest.raises(ValueError, match="missing"):
            table.table(field)


@pytest.mark.parametrize("damage", [b"", b"\0" * 3, struct.pack("<I", 1 << 31), b"\xff" * 64])
def test_no_buffer(damage: bytes) -> None:
    with pytest.raises(ValueError, match="outside"):
        Table.root(damage).text(0)


def test_every_byte_damaged(content: bytes) -> None:
    for place in range(len(content)):
        for value in (0, 1, 127, 255):
            damaged = content[:place] + bytes([value]) + content[place + 1 :]
            try:
                table = Table.root(damaged)
                table.text(0), table.array(1, "<i8"), table.texts(2), table.tables(6)
            except ValueError:
                pass


def test_a_list_that_claims_more_than_there_is(content: bytes) -> None:
    at = content.index(struct.pack("<q", 0) + struct.pack("<q", 1)) - 4
    damaged = content[:at] + struct.pack("<I", 1 << 30) + content[at + 4 :]
    with pytest.raises(ValueError, match="longer than the file"):
        Table.root(damaged).array(1, "<i8")
