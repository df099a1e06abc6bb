"""Decoded images, so that an epoch decodes no JPEG: on disk, in memory, or none."""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import disk_usage
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import make_folder, replacing, write_text
from ultraface_deploy.safe.images import read_image as read_picture
from ultraface_deploy.train.data.samples import Sample

Image = npt.NDArray[np.uint8]
Store = Literal["disk", "ram", "off"]
_FILL = 127


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
    """All images of a data set, scaled to at most `max_side`, so that an epoch decodes no JPEG.

    `on_image` is called once for each image that is decoded: twice each where it is stored.
    `sizes` (N, 2) int64 width and height; `factors` (N,) float64, by how much each was scaled;
    `side` the longest side of all. `store` says where the decoded pixels lie: `disk` in one file
    of `folder`, which processes share through the page cache; `ram` in the memory of each
    process; `off` nowhere, and images are decoded again whenever they are read. `name` is made of
    the image paths, sizes and times, so a changed data set gets a new file.

    Raises:
        InputError: an image cannot be read, or the folder's disk is too small.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        folder: Path,
        max_side: int,
        on_image: Callable[[], Any] = lambda: None,
        store: Store = "disk",
    ) -> None:
        make_folder(folder, "`cache`")
        self.folder, self.name = folder, _fingerprint(samples, max_side)
        self._samples, self._max_side = samples, max_side
        pixels = folder / f"canvases-{self.name}.u8"
        index = pixels.with_suffix(".json")
        found = json.loads(index.read_text()) if store == "disk" and index.is_file() else None
        record = found or _measured(samples, max_side, on_image)
        self.side, entries = int(record["side"]), record["images"]
        self.sizes = np.array([entry[:2] for entry in entries], np.int64).reshape(-1, 2)
        self.factors = np.array([entry[2] for entry in entries], np.float64)
        self._canvases: Image | None = None
        shape = (len(entries), 3, self.side, self.side)
        if store == "ram":
            canvases = np.empty(shape, np.uint8)
            for start, part in self._parts(on_image):
                canvases[start : start + len(part)] = part
            self._canvases = canvases
        elif store == "disk":
            if found is None:
                self._fill(pixels, on_image)
                write_text(index, json.dumps(record))
            # Copy on write: torch wants memory that could be written, and nobody writes.
            self._canvases = np.memmap(pixels, np.uint8, "c", shape=shape)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> tuple[Image, float]:
        """Return the image (H, W, 3) BGR of that sample, and the factor it was scaled by."""
        if self._canvases is None:
            return read_image(self._samples[number].image, self._max_side)
        width, height = self.sizes[number]
        rgb = self._canvases[number, :, :height, :width]
        return np.ascontiguousarray(rgb[::-1].transpose(1, 2, 0)), float(self.factors[number])

    @property
    def whole(self) -> Image | None:
        """All canvases, see `canvases`; None where nothing is stored."""
        return self._canvases

    def canvases(self, numbers: Sequence[int]) -> Image:
        """Return images (B, 3, S, S) uint8 RGB, in the top left corner and 127 beyond."""
        if self._canvases is not None:
            return self._canvases[np.asarray(numbers)]  # type: ignore[no-any-return]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return np.stack(list(threads.map(self._canvas, numbers)))

    def _canvas(self, number: int) -> Image:
        image, _ = read_image(self._samples[number].image, self._max_side)
        height, width = image.shape[:2]
        canvas = np.full((3, self.side, self.side), _FILL, np.uint8)
        canvas[:, :height, :width] = image[..., ::-1].transpose(2, 0, 1)
        return canvas

    def _parts(self, on_image: Callable[[], Any]) -> Iterator[tuple[int, Image]]:
        """Yield all canvases, a part at a time, with the number of its first."""
        count = len(self)
        for start in range(0, count, 64):
            numbers = range(start, min(start + 64, count))
            yield start, self.canvases(numbers)
            for _ in numbers:
                on_image()

    def _fill(self, pixels: Path, on_image: Callable[[], Any]) -> None:
        needed, free = 3 * self.side**2 * len(self), disk_usage(self.folder).free
        if needed > free:
            raise InputError(
                f"{self.folder}: the decoded images take {needed / 1e9:.1f} GB and {free / 1e9:.1f}"
                " GB are free; give `cache` another folder, or `cache` off"
            )
        with replacing(pixels) as temporary, temporary.open("wb") as file:
            for _, part in self._parts(on_image):
                file.write(part.tobytes())


def _measured(
    samples: Sequence[Sample], max_side: int, on_image: Callable[[], Any]
) -> dict[str, Any]:
    """Return the longest side of all images, and of each width, height and factor."""

    def measure(sample: Sample) -> tuple[int, int, float]:
        image, factor = read_image(sample.image, max_side)
        on_image()
        return image.shape[1], image.shape[0], factor

    # Decoded for this alone: the side of the canvases is known only after the last image.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        entries = list(threads.map(measure, samples))
    return {"side": max((max(entry[:2]) for entry in entries), default=1), "images": entries}


def _fingerprint(samples: Sequence[Sample], max_side: int) -> str:
    digest = hashlib.sha256(str(max_side).encode())
    for sample in samples:
        state = sample.image.stat()
        digest.update(f"{sample.image}|{state.st_size}|{state.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
