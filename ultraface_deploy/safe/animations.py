"""Pictures that move: GIF, WebP, PNG and AVIF files with several pictures in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import native_name
from ultraface_deploy.safe.images import Image, as_bgr
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.refusals import undecodable

# What browsers do: a picture that states 10 milliseconds or less, meaning "as fast as you can", is
# shown for 100.
_AT_ONCE_MS, _INSTEAD_MS = 10, 100
_ANIMATION_PIXELS = 64_000_000
_MOST_ANIMATED = 20_000_000_000
"""Pixels decoded for one animation. Some kilobytes can hold millions of pictures of one pixel each
that stand on a large canvas."""


def is_animated(path: Path) -> bool:
    """Whether a GIF, WebP, PNG or AVIF file holds several pictures; False for what cannot be read.

    WebP: container specification, chunk VP8X; PNG: third edition, chunk acTL; AVIF: brand avis.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20:21] and head[20] & 2)
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head
    if head[4:12] == b"ftypavis":
        return True
    if head[:6] not in (b"GIF87a", b"GIF89a") or not hasattr(cv2, "imreadanimation"):
        return False
    try:
        with native_name(path) as native:
            return cv2.imcount(native) > 1
    except cv2.error:
        return False


def read_animation(path: Path) -> Iterator[tuple[Image, float]]:
    """Yield the pictures of an animated file, each with the seconds for which browsers show it.

    Memory does not grow with their number.

    Raises:
        InputError: unreadable, or OpenCV is too old.
    """
    Limit.PICTURE.check(path)
    if not hasattr(cv2, "imreadanimation"):
        raise InputError(
            f"{path}: animated pictures need OpenCV 4.11 or newer; update opencv-python-headless"
        )
    start, wanted, decoded, pixels = 0, 1, 0, 0
    while True:
        # Every call decodes from the beginning.
        decoded += (start + wanted) * pixels
        if decoded > _MOST_ANIMATED:
            raise InputError(
                f"{path}: more than {start} pictures of {pixels} pixels take too long to decode; "
                "convert the animation to a video first"
            )
        try:
            with native_name(path) as native:
                read, part = cv2.imreadanimation(native, start, wanted)
        except (cv2.error, MemoryError) as error:
            raise undecodable(path, error) from error
        frames = list(part.frames) if read else []
        if not (frames or start):
            raise undecodable(path)
        for frame, milliseconds in zip(frames, part.durations, strict=False):
            shown = milliseconds if milliseconds > _AT_ONCE_MS else _INSTEAD_MS
            yield as_bgr(frame), shown / 1000
        if len(frames) < wanted:
            return
        start += len(frames)
        pixels = frames[0].shape[0] * frames[0].shape[1]
        # As many at a time as a few hundred MB hold.
        wanted = max(1, min(256, _ANIMATION_PIXELS // pixels))


def times_played(path: Path) -> int:
    """Return how often an animated file is played when it is shown; 0 for again and again.

    OpenCV counts alike for all kinds, where a GIF states how often it is repeated.

    Raises:
        InputError: unreadable.
    """
    try:
        with native_name(path) as native:
            read, part = cv2.imreadanimation(native, 0, 1)
    except (cv2.error, MemoryError) as error:
        raise undecodable(path, error) from error
    return int(part.loop_count) if read else 0
