"""HEIC photographs, as telephones write them; the package that decodes them is an extra."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.safe.limits import PIXELS, too_many_pixels
from ultraface_deploy.safe.refusals import undecodable


def is_heic(data: bytes) -> bool:
    """Whether the file is of the HEIF family with HEVC inside, by its brand (ISO/IEC 23008-12)."""
    return data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"mif1")


def decode_heic(name: str, data: bytes) -> npt.NDArray[Any]:
    """Decode a HEIC picture, (H, W, 3) BGR or (H, W) grey, uint8.

    Args:
        name: how the picture is called in errors.
        data: the content of the file.

    Raises:
        InputError: damaged, or too many pixels.
        MissingDependency: pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingDependency.package("pillow-heif", "heic", f"reading {name}") from error
    try:
        opened = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
        width, height = opened.size
        if width * height > int(os.environ[PIXELS]):
            raise too_many_pixels(name)
        rgb = np.asarray(opened)
    except (ValueError, RuntimeError, EOFError, OSError, MemoryError) as error:
        raise undecodable(name, error) from error
    return np.ascontiguousarray(rgb[..., 2::-1]) if rgb.ndim == 3 else rgb
