"""The same input gives the same file: MNN's random identity is replaced by one of the content."""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path

# `mnnconvert` writes a random UUID, as text, among the first fields of the file.
_UUID = re.compile(rb"\x24\x00\x00\x00([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\x00")
_HEAD_BYTES = 4096


def make_reproducible(path: Path) -> None:
    """Replace the random UUID in an MNN file by one that follows from the rest of its bytes.

    A file without one, of another version of MNN, is left as it is.
    """
    content = bytearray(path.read_bytes())
    found = _UUID.search(content, 0, _HEAD_BYTES)
    if found is None:
        return
    start, end = found.span(1)
    content[start:end] = bytes(end - start)
    digest = hashlib.sha256(content).digest()
    content[start:end] = str(uuid.UUID(bytes=digest[:16], version=5)).encode()
    path.write_bytes(content)
