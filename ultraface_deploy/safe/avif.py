"""AVIF photographs: how the file says that they shall be turned, which OpenCV does not read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

_CONTAINERS = (b"meta", b"iprp", b"ipco")
_FULL = b"meta"
"""Its version and flags stand before what it contains."""
_MOST_BOXES = 10_000


def is_avif(data: bytes) -> bool:
    """Whether the file is an AVIF picture, by its brand (AV1 Image File Format, section 8)."""
    return data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis")


def upright(image: npt.NDArray[Any], data: bytes) -> npt.NDArray[Any]:
    """Return a picture as the file's `irot` and `imir` turn and mirror it, in this order.

    Properties of HEIF (ISO/IEC 23008-12, 6.5.10 and 6.5.12); an EXIF orientation beside them is
    information only.

    Args:
        image: (H, W, ...) as it was decoded.
        data: the content of the AVIF file.
    """
    turns = {kind: value & 3 for kind, value in _turns(data)}
    if quarters := turns.get(b"irot", 0):
        image = np.rot90(image, quarters)
    if b"imir" in turns:
        image = image[::-1] if turns[b"imir"] & 1 == 0 else image[:, ::-1]
    return np.ascontiguousarray(image)


def _turns(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the boxes that turn a picture, and the byte in each."""
    places, seen = [(0, len(data))], 0
    while places:
        at, end = places.pop()
        while at + 8 <= end and seen < _MOST_BOXES:
            seen += 1
            size, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
            if size == 1:
                size, start = int.from_bytes(data[at + 8 : at + 16], "big"), 16
            elif size == 0:
                size = end - at
            if size < start or at + size > end:
                return
            if kind in _CONTAINERS:
                places.append((at + start + 4 * (kind == _FULL), at + size))
            elif kind in (b"irot", b"imir") and size > start:
                yield kind, data[at + start]
            at += size
