"""The photographs that ranges are collected from, and those that the result is judged on."""

# Tested by tests/quantize/test_calibrate.py.

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.view import network_input
from ultraface_deploy.safe.images import (
    IMAGE_SUFFIXES,
    Image,
    embedded_images,
    no_photographs,
    read_image,
)
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.refusals import missing
from ultraface_deploy.safe.text import counted


def sample_images(folder: Path) -> list[Path]:
    """Return the images below a folder, in an order that is random but always the same.

    The order comes from a hash of the path inside the folder, so that the first few are a sample
    of all its sub-folders, on every machine.

    Raises:
        InputError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: {missing(folder, 'folder of photographs', 'folder')}")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise InputError(f"{folder}: {no_photographs(folder)}")
    return sorted(found, key=lambda path: (_digest(path.relative_to(folder)), path))


def readable_images(paths: Sequence[Path | Image]) -> Iterator[Image]:
    """Yield the images one by one as BGR, of files or as they are; unreadable ones are left out.

    Raises:
        InputError: not one of them could be read.
    """
    read = 0
    for path in paths:
        try:
            image = read_image(path) if isinstance(path, Path) else path
        except InputError:
            continue  # A damaged file must not end a calibration over a thousand good ones.
        read += 1
        yield image
    if paths and not read:
        folder = paths[0].parent if isinstance(paths[0], Path) else "calibration"
        raise InputError(
            f"{folder}: none of {counted(len(paths), 'image')} could be read; give a folder of "
            "photographs"
        )


def read_tensors(
    paths: Sequence[Path | Image], spec: ModelSpec, keep_aspect: bool = False
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the network inputs (1, 3, H, W) of the images that can be read, one by one.

    With `keep_aspect` they are padded instead of stretched.

    Raises:
        InputError: not one of them could be read.
    """
    for image in readable_images(paths):
        yield network_input(image, spec, keep_aspect)[0]


def shipped_images() -> Iterator[Image]:
    """Yield what INT8 is judged on where no photographs are given.

    The shipped photographs and their mosaics, also darker, brighter and turned a little: a face
    that INT8 loses is one that the network is not sure of, so that easy pictures alone would not be
    test.
    """
    for image in embedded_images():
        yield image
        for gain, offset in ((0.45, 0.0), (0.6, 90.0)):
            yield cv2.convertScaleAbs(image, alpha=gain, beta=offset).astype(np.uint8)
        height, width = image.shape[:2]
        for angle in (-20.0, 20.0):
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
            turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
            yield turned.astype(np.uint8)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.as_posix().encode()).hexdigest()
