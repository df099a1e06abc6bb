"""AVIF pictures stand upright as their file says, compared with Pillow's reading."""

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.safe.avif import is_avif, upright
from ultraface_deploy.safe.images import picture_size, read_image
from ultraface_deploy.safe.opencv import cv2

pillow = pytest.importorskip("PIL.Image", reason="Pillow writes the pictures")
features = pytest.importorskip("PIL.features")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.skipif(not cv2.haveImageWriter("x.avif"), reason="this OpenCV has no AVIF")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_eight_ways_a_picture_lies(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = (250, 0, 0)
    picture[24:, :32] = (0, 250, 0)
    picture[:24, 32:] = (0, 0, 250)
    exif, path = pillow.Exif(), tmp_path / "a.avif"
    exif[0x0112] = orientation
    pillow.fromarray(picture).save(path, exif=exif, quality=95)
    with pillow.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    image = read_image(path)
    assert image.shape == expected.shape
    assert picture_size(path) == image.shape[1::-1]
    assert np.abs(image[..., ::-1].astype(int) - expected.astype(int)).mean() < 4


@pytest.mark.parametrize(
    "tail", [b"", b"\0\0\0\0meta", b"\0\0\0\x01meta" + b"\xff" * 8, b"\0" * 99]
)
def test_damaged_boxes_turn_nothing(tail: bytes) -> None:
    data = b"\0\0\0\x10ftypavif\0\0\0\0" + tail
    image = np.arange(6).reshape(2, 3)
    assert is_avif(data)
    assert (upright(image, data) == image).all()


def test_many_boxes_take_no_time() -> None:
    data = b"\0\0\0\x08free" * 2_000_000
    image = np.arange(6).reshape(2, 3)
    assert (upright(image, data) == image).all()
