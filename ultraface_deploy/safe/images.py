"""Photographs: reading them, finding them, and the ones that ship."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import refuse_pointer
from ultraface_deploy.safe.limits import PIXELS, Limit

Image = npt.NDArray[np.uint8]
PHOTOS = Path(__file__).resolve().parents[1] / "photos"
DEMO_PHOTO = PHOTOS / "astronaut.jpg"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

# EXIF: from 5 on the picture lies on its side.
_ORIENTATION, _TURNED = 0x0112, 5


def read_image(path: Path) -> Image:
    """Read a photograph as (H, W, 3) uint8 BGR, turned upright by its EXIF orientation.

    Raises:
        InputError: missing, unreadable, too large, or no image.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: cannot be read, it is not a file")
        refuse_pointer(path)
        Limit.PICTURE.check(path)
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        sound = data.size and not _claims_more_than_it_has(data.tobytes())
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if sound else None
    except (cv2.error, MemoryError) as error:
        if "MAX_IMAGE_PIXELS" in str(error):
            raise InputError(
                f"{path}: has more than {os.environ[PIXELS]} pixels; "
                f"for a picture you trust set {PIXELS}"
            ) from error
        raise InputError(f"{path}: cannot be decoded ({error})") from error
    if image is None:
        raise InputError(f"{path}: not an image that OpenCV can decode, or damaged")
    return as_bgr(image)


def picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a picture as `read_image` gives it, from its header where possible.

    Raises:
        InputError: missing, unreadable or no image.
    """
    try:
        from PIL import Image as Header

        with warnings.catch_warnings():
            # Of pictures with many pixels; only the header is read.
            warnings.simplefilter("ignore")
            with Header.open(path) as opened:
                width, height = opened.size
                turned = opened.getexif().get(_ORIENTATION, 1) >= _TURNED
    except Exception:  # without Pillow, and of what Pillow does not read, OpenCV says more
        height, width = read_image(path).shape[:2]
        return width, height
    return (height, width) if turned else (width, height)


def as_bgr(image: npt.NDArray[Any]) -> Image:
    """Bring a grayscale, BGRA or 16-bit image to the (H, W, 3) uint8 BGR that the pipeline reads.

    Raises:
        InputError: the array is not an image (wrong rank or channels, no pixels, other dtype).
    """
    if image.ndim not in (2, 3) or image.size == 0:
        raise InputError(
            f"an array of shape {image.shape} is not an image; give (H, W, 3) uint8 BGR"
        )
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise InputError(f"an image of dtype {image.dtype} is not supported; give uint8 BGR")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 3:
        return image
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    if channels == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)  # type: ignore[return-value]
    raise InputError(f"an image with {channels} channels is not supported; give BGR")


def _claims_more_than_it_has(content: bytes) -> bool:
    """Whether a PNG has a chunk larger than the file: OpenCV allocates and clears what it claims.

    Layout: W3C, "Portable Network Graphics", a signature, then chunks of length, name, data, sum.
    """
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return False
    at = 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if length > len(content):
            return True
        at += 12 + length
    return False


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder, sorted by name.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of photographs")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: contains no photographs ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def read_images(paths: list[Path]) -> Iterator[Image]:
    """Read photographs one at a time."""
    return map(read_image, paths)


def embedded_images() -> Iterator[Image]:
    """Yield what verification looks at when no photographs are given.

    The two shipped portraits, upright and mirrored, and small on a common background, so that
    every feature map has faces to find.
    """
    photos = [read_image(path) for path in sorted(PHOTOS.glob("*.jpg"))]
    yield from photos
    yield from (np.ascontiguousarray(photo[:, ::-1]) for photo in photos)
    for width in (240, 120, 70):
        yield _mosaic(photos, width)


def _mosaic(photos: list[Image], tile_width: int) -> Image:
    tile_height = tile_width * 4 // 3
    tiles = [
        cv2.resize(photo, (tile_width, tile_height), interpolation=cv2.INTER_AREA)
        for photo in photos
    ]
    columns, rows = 640 // tile_width, max(1, 480 // tile_height)
    canvas = np.full((480, 640, 3), 127, dtype=np.uint8)
    for index in range(columns * rows):
        top, left = index // columns * tile_height, index % columns * tile_width
        canvas[top : top + tile_height, left : left + tile_width] = tiles[index % len(tiles)]
    return canvas
