"""Photographs: reading them, finding them, and the ones that ship."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.avif import is_avif, upright
from ultraface_deploy.safe.files import refuse_pointer
from ultraface_deploy.safe.heic import decode_heic, is_heic
from ultraface_deploy.safe.jpeg import END_MARKER, QUALITY, decode_jpeg, encode_jpeg, is_cut_off
from ultraface_deploy.safe.limits import PIXELS, Limit, too_many_pixels
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.overheard import overhear
from ultraface_deploy.safe.reduced import Reduction, reduction
from ultraface_deploy.safe.refusals import missing, undecodable, unreadable

Image = npt.NDArray[np.uint8]
PHOTOS = Path(__file__).resolve().parents[1] / "photos"
DEMO_PHOTO = PHOTOS / "astronaut.jpg"
# One list for single files and for folders. What OpenCV cannot decode here is said when it is read.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".webp", ".gif", ".avif"}
    | {".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif"}
)
_log = logging.getLogger(__name__)
_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_JPEG = b"\xff\xd8\xff"
# EXIF: from 5 on the picture lies on its side.
_ORIENTATION, _TURNED = 0x0112, 5


def read_image(path: Path) -> Image:
    """Read a photograph as (H, W, 3) uint8 BGR, turned upright by its EXIF orientation.

    Of a damaged JPEG what can be read is returned, and a warning logged.

    Raises:
        InputError: missing, unreadable, too large, or no image.
        MissingDependency: a HEIC picture, and the package that reads it is not installed.
    """
    picture = read_picture(path)
    if picture.damage is not None:
        _log.warning("%s", picture.damage)
    return picture.image


class Picture(NamedTuple):
    """A photograph that was read."""

    image: Image
    damage: str | None = None
    """What is wrong with one that could be read only in part."""
    reduction: Reduction | None = None
    """How it lies in the whole one, where it was decoded smaller."""


def read_picture(path: Path, least: tuple[int, int] | None = None) -> Picture:
    """Read a photograph as `read_image` does; what is wrong with it is returned, not logged.

    Args:
        path: the file.
        least: width and height that are enough: OpenCV decodes a JPEG at 1/2, 1/4 or 1/8 where
            that leaves as many pixels. None for all of them.
    """
    return decode_picture(_content(path), str(path), least)


def decode_picture(data: bytes, name: str, least: tuple[int, int] | None = None) -> Picture:
    """Decode the content of a picture file, as `read_picture` does.

    Args:
        data: the content.
        name: how the picture is called in errors.
        least: as for `read_picture`.
    """
    if is_heic(data):
        return Picture(as_bgr(decode_heic(name, data)))
    if _claims_more_than_it_has(data):
        raise undecodable(name)
    if not (opencv.available() or data.startswith(_JPEG)):
        raise MissingDependency(
            f"{name}: reading it needs OpenCV, this install reads JPEG alone: "
            "pip install 'opencv-python-headless<5'"
        )
    if is_avif(data):
        return Picture(as_bgr(upright(_decode(name, data, turned=False), data)))
    if not data.startswith(_JPEG):
        return Picture(as_bgr(_decode(name, data)))
    if not opencv.available():
        return _read_jpeg_plainly(name, data)
    return _read_jpeg(name, data, None if least is None else reduction(data, least))


def _read_jpeg(name: str, data: bytes, smaller: Reduction | None) -> Picture:
    cut, factor = is_cut_off(data), 1 if smaller is None else smaller.factor
    # With an end marker libjpeg returns the lines that are there.
    image, said = overhear(lambda: _decode(name, data + END_MARKER if cut else data, factor))
    if smaller is not None and image.shape[1::-1] != smaller.size:
        # OpenCV reads the orientation otherwise: we would not know where the faces are.
        return _read_jpeg(name, data, None)
    damage = None
    if cut:
        damage = f"{name}: the JPEG is cut off; its last lines are missing"
    else:
        for line in said.splitlines():
            if line.startswith("Corrupt JPEG data"):
                damage = f"{name}: the JPEG is damaged ({line.partition(': ')[2]})"
                break
    return Picture(as_bgr(image), damage, smaller)


def _read_jpeg_plainly(name: str, data: bytes) -> Picture:
    """Read a JPEG on a board without OpenCV."""
    try:
        image, damage = decode_jpeg(data, int(os.environ[PIXELS]))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return Picture(image, None if damage is None else f"{name}: the JPEG is damaged ({damage})")


def encode(image: Image, suffix: str, quality: int = QUALITY) -> bytes:
    """Return the content of a picture file (H, W, 3) uint8 BGR of the kind of a suffix.

    Args:
        image: the picture.
        suffix: such as `.png`.
        quality: of a JPEG, 1 to 100.

    Raises:
        InputError: it cannot be encoded here.
    """
    if not opencv.available():
        if not can_encode(suffix):
            raise InputError(f"without OpenCV only JPEG can be written, not {suffix}; give a .jpg")
        return encode_jpeg(image, quality)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in _JPEG_SUFFIXES else []
    try:
        encoded, content = cv2.imencode(suffix, image, options)
    except cv2.error:
        encoded = False
    if not encoded:
        raise InputError("OpenCV could not encode the picture; write another format, such as .png")
    return content.tobytes()


def can_encode(suffix: str) -> bool:
    """Whether pictures of the kind of a suffix, such as `.png`, can be written here."""
    if opencv.available():
        return bool(cv2.haveImageWriter(f"x{suffix}"))
    return suffix in _JPEG_SUFFIXES


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a file; give the file of a picture")
        refuse_pointer(path)
        Limit.PICTURE.check(path)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: {missing(path, 'picture')}") from error
    except OSError as error:
        raise InputError(f"{path}: {unreadable(error)}") from error


def _decode(name: str, data: bytes, factor: int = 1, *, turned: bool = True) -> npt.NDArray[Any]:
    try:
        buffer = np.frombuffer(data, dtype=np.uint8)
        reduced = "" if factor == 1 else f"REDUCED_COLOR_{factor}"
        flags = getattr(cv2, f"IMREAD_{reduced}") if reduced else cv2.IMREAD_COLOR
        flags |= 0 if turned else cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(buffer, flags) if data else None
    except (cv2.error, MemoryError) as error:
        if "MAX_IMAGE_PIXELS" in str(error):
            raise too_many_pixels(name) from error
        raise undecodable(name, error) from error
    if image is None:
        raise undecodable(name)
    return image


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


def as_bgr(image: Any) -> Image:
    """Bring a grayscale, BGRA or 16-bit image to the (H, W, 3) uint8 BGR that the pipeline reads.

    Raises:
        InputError: not an image: None, no array, wrong rank or channels, no pixels, other dtype.
    """
    if image is None:
        raise InputError("the image is None; check the path that cv2.imread was given")
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"the image is a {type(image).__name__}; give a numpy array, (H, W, 3) uint8 BGR "
            "(of several images one at a time, see detect_many)"
        )
    if image.ndim not in (2, 3) or image.size == 0:
        raise InputError(
            f"an array of shape {image.shape} is not an image; give (H, W, 3) uint8 BGR"
        )
    if image.dtype.newbyteorder("=") == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise InputError(
            f"an image of dtype {image.dtype} is not supported; give uint8 BGR, "
            "for example (image * 255).astype(numpy.uint8) of floats in 0..1"
        )
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 3:
        bgr: Image = image
        return bgr
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if channels == 4:
        return np.ascontiguousarray(image[..., :3])
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
        raise InputError(f"{folder}: {missing(folder, 'folder of photographs', 'folder')}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: {no_photographs(folder)}")
    return found


def no_photographs(folder: Path) -> str:
    """Return what is wrong with a folder without any: what counts as one, and where some are."""
    below = (path for path in folder.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if (first := next(below, None)) is not None:
        return f"contains no photographs itself; give a folder in it, such as {first.parent}"
    return f"contains no photographs ({', '.join(sorted(IMAGE_SUFFIXES))})"


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
