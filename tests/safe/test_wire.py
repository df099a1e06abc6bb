"""Protobuf files are counted as protobuf reads them."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2

from ultraface_deploy.safe.wire import count_fields

FIELDS = {"File": {4: "Message"}, "Message": {2: "Field", 3: "Message"}}


def test_fields_of_nested_messages() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="a")
    message = file.message_type.add(name="b")
    message.field.add(name="c", number=7)
    message.nested_type.add(name="d")
    # name, message; name, field, nested; name and number; name
    assert count_fields(file.SerializeToString(), "File", FIELDS) == 2 + 3 + 2 + 1
    assert count_fields(file.SerializeToString(), "File", {}) == 2
    with pytest.raises(ValueError, match="more than 7 fields"):
        count_fields(file.SerializeToString(), "File", FIELDS, most=7)


@pytest.mark.parametrize(
    "content", [b"\x0a", b"\x0a\x05ab", b"\x0b", b"\x08" + b"\xff" * 11, b"\x09abc", b"\x80"]
)
def test_what_is_no_protobuf(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|number"):
        count_fields(content, "File", FIELDS)


def test_messages_that_nest_without_end() -> None:
    content = b""
    for _ in range(200):
        length = bytes([len(content) & 0x7F | 0x80, len(content) >> 7])
        content = b"\x1a" + length + content
    with pytest.raises(ValueError, match="100 deep"):
        count_fields(content, "Message", FIELDS)
