"""Decoded images in one memory-mapped file, so that an epoch decodes no JPEG."""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ultraface_deploy.safe.files import make_folder, replacing, write_text
from ultraface_deploy.safe.images import read_image as read_picture
from ultraface_deploy.train.data.samples import Sample

Image = npt.NDArray[np.uint8]


def read_image(path: Path, max_side: int) -> tuple[Image, float]:
    """Read an image as (H, W, 3) uint8 BGR with its longest side at most `max_side`.

    Returns:
        The image and the factor by which it was scaled.

    Raises:
        InputError: the file is missing or no image.
    """
    bgr = read_picture(path)
    factor = min(1.0, max_side / max(bgr.shape[:2]))
    if factor == 1:
        return bgr, factor
    scaled = cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return scaled, factor  # type: ignore[return-value]


class ImageCache:
    """All images of a data set, decoded once and scaled to at most `max_side`.

    The pixels lie in one file that processes share through the page cache. The file is named
    after the image paths, sizes and times, so a changed data set gets a new one.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        folder: Path,
        max_side: int,
        on_image: Callable[[], Any] = lambda: None,
    ) -> None:
        make_folder(folder)
        self._pixels = folder / f"images-{_fingerprint(samples, max_side)}.u8"
        index = self._pixels.with_suffix(".json")
        if not index.is_file():
            write_text(index, json.dumps(self._fill(samples, max_side, on_image)))
        self._entries: list[tuple[int, int, int, float]] = json.loads(index.read_text())
        self._memory = np.memmap(self._pixels, np.uint8, "r")

    def __getitem__(self, number: int) -> tuple[Image, float]:
        """Return the image of that sample, read-only, and the factor it was scaled by."""
        start, height, width, factor = self._entries[number]
        pixels = self._memory[start : start + height * width * 3]
        return pixels.reshape(height, width, 3), factor

    def _fill(
        self, samples: Sequence[Sample], max_side: int, on_image: Callable[[], Any]
    ) -> list[tuple[int, int, int, float]]:
        entries, start = [], 0
        with replacing(self._pixels) as temporary, temporary.open("wb") as file:
            for sample in samples:
                bgr, factor = read_image(sample.image, max_side)
                file.write(bgr.tobytes())
                entries.append((start, bgr.shape[0], bgr.shape[1], factor))
                start += bgr.size
                on_image()
        return entries


def _fingerprint(samples: Sequence[Sample], max_side: int) -> str:
    digest = hashlib.sha256(str(max_side).encode())
    for sample in samples:
        state = sample.image.stat()
        digest.update(f"{sample.image}|{state.st_size}|{state.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
