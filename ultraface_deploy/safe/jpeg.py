"""JPEG by libjpeg-turbo alone, for boards without OpenCV: the same pixels."""

from __future__ import annotations

import re
import struct

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.kinds import GET_AGAIN
from ultraface_deploy.safe.limits import PIXELS

Image = npt.NDArray[np.uint8]

QUALITY = 95
"""OpenCV's."""
END_MARKER = b"\xff\xd9"
_ORIENTATION = 0x0112


def decode_jpeg(data: bytes, most_pixels: int) -> tuple[Image, str | None]:
    """Decode a JPEG as OpenCV does, turned upright by its EXIF orientation.

    Args:
        data: the file.
        most_pixels: width times height that are accepted.

    Returns:
        (H, W, 3) uint8 BGR, and what is wrong with a file that could be read only in part.

    Raises:
        InputError: no JPEG, or too many pixels.
        MissingDependency: simplejpeg is not installed.
    """
    try:
        import simplejpeg
    except ImportError as error:
        raise MissingDependency(
            "reading a JPEG needs OpenCV or simplejpeg: pip install simplejpeg"
        ) from error
    try:
        height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]
        if width * height > most_pixels:
            raise InputError(
                f"has more than {most_pixels} pixels; for a picture you trust set {PIXELS}"
            )
        image, damage = simplejpeg.decode_jpeg(data, "BGR"), None
    except ValueError as error:
        try:
            image, damage = simplejpeg.decode_jpeg(data, "BGR", strict=False), str(error)
        except ValueError:
            raise InputError(f"not a JPEG that can be decoded ({error}); {GET_AGAIN}") from error
    return upright(image, orientation(data)), damage


def is_cut_off(jpeg: bytes) -> bool:
    """Whether the end marker is missing after the last scan.

    Within a scan 0xFF is always followed by a zero or a restart marker (ITU T.81, B.1.1.5), so the
    markers found last are those of the picture itself and not of a thumbnail.
    """
    return jpeg.rfind(END_MARKER) < jpeg.rfind(b"\xff\xda")


def encode_jpeg(bgr: Image, quality: int = QUALITY) -> bytes:
    """Encode (H, W, 3) uint8 BGR with a quality of 1 to 100.

    Raises:
        MissingDependency: simplejpeg is not installed.
    """
    try:
        import simplejpeg
    except ImportError as error:
        raise MissingDependency(
            "writing a JPEG needs OpenCV or simplejpeg: pip install simplejpeg"
        ) from error
    pixels = np.ascontiguousarray(bgr)
    return bytes(simplejpeg.encode_jpeg(pixels, quality, "BGR", colorsubsampling="420"))


def orientation(data: bytes) -> int:
    """Return the EXIF orientation of a JPEG, 1 to 8; 1 where it states none.

    TIFF 6.0, section 2: the first directory holds entries of tag, type, count and value.
    """
    found = re.search(rb"\xff\xe1..Exif\0\0", data[:65536], re.DOTALL)
    if found is None:
        return 1
    tiff = data[found.end() : found.end() + 65536]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, first)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * entry)
            if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
                return int(value)
    except struct.error:
        pass
    return 1


def upright(image: Image, stated: int) -> Image:
    """Turn an image with an EXIF orientation of 1 to 8 as it was seen (Exif 2.3, 4.6.4)."""
    if stated >= 5:
        image = image.swapaxes(0, 1)
    if stated in (3, 4, 7, 8):
        image = image[::-1]
    if stated in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
