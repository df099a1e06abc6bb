"""JPEG files decoded at a half, a quarter or an eighth: the decoder leaves frequencies out.

A block of 8x8 samples becomes one of 4x4, 2x2 or 1x1, which is an average and takes a part of the
time. Markers: ITU T.81, annex B.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ultraface_deploy.safe.jpeg import orientation

FACTORS = (8, 4, 2)
_START_OF_SCAN = 0xDA
# SOF0 to SOF15 without the tables that lie between them: DHT, JPG, DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """Width and height as stored, and how the picture is turned: 1 to 8."""

    width: int
    height: int
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


@dataclass(frozen=True)
class Reduction:
    """How a picture that was decoded smaller lies in the whole one.

    A pixel x y of it begins at `x * factor - left`, `y * factor - top` of the whole, which is
    `width` x `height` pixels. Where those are no multiples of the factor, the last pixels reach
    beyond the picture; turned by its orientation, that may be the first.
    """

    factor: int
    width: int
    height: int
    left: int = 0
    top: int = 0

    @classmethod
    def of(cls, header: Header, factor: int) -> Reduction:
        """Return where the pixels of a picture lie that is decoded at 1/factor."""
        right = -header.width % factor
        below = -header.height % factor
        lefts = {2: right, 3: right, 6: below, 7: below}
        tops = {3: below, 4: below, 7: right, 8: right}
        turn = header.orientation
        return cls(factor, *header.upright, lefts.get(turn, 0), tops.get(turn, 0))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the smaller picture."""
        return -(-self.width // self.factor), -(-self.height // self.factor)


def reduction(jpeg: bytes, least: tuple[int, int]) -> Reduction | None:
    """Return the strongest reduction that leaves at least so many pixels, None where there is none.

    Args:
        jpeg: the file.
        least: width and height that must be left, as the picture is shown.
    """
    if (header := read_header(jpeg)) is None:
        return None
    for factor in FACTORS:
        found = Reduction.of(header, factor)
        if found.size[0] >= least[0] and found.size[1] >= least[1]:
            return found
    return None


def read_header(jpeg: bytes) -> Header | None:
    """Return what a JPEG says of itself before its first scan, None where it says nothing."""
    for marker, content in _segments(jpeg):
        if marker in _FRAMES and len(content) >= 5:
            height, width = struct.unpack_from(">HH", content, 1)
            return Header(width, height, orientation(jpeg)) if width and height else None
    return None


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _START_OF_SCAN:
            return
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield marker, jpeg[at + 4 : at + 2 + length]
        at += 2 + max(2, length)
