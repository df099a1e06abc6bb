"""MNN's random identity becomes one of the content."""

from __future__ import annotations

import uuid
from pathlib import Path

from ultraface_deploy.converters.mnn.identity import make_reproducible


def mnn_like(identity: str, content: bytes) -> bytes:
    return b"head" * 8 + b"\x24\x00\x00\x00" + identity.encode() + b"\x00\x00\x00\x00" + content


def made(folder: Path, identity: str, content: bytes) -> bytes:
    path = folder / "net.mnn"
    path.write_bytes(mnn_like(identity, content))
    make_reproducible(path)
    return path.read_bytes()


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    first, second, other = (
        made(tmp_path, str(uuid.uuid4()), content) for content in (b"net", b"net", b"another")
    )
    assert first == second
    assert first[36:72] != other[36:72]
    uuid.UUID(first[36:72].decode())
    assert first[:36] == b"head" * 8 + b"\x24\x00\x00\x00" and first.endswith(b"net")


def test_a_file_without_an_identity_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.mnn"
    path.write_bytes(b"another version" * 400)
    make_reproducible(path)
    assert path.read_bytes() == b"another version" * 400
