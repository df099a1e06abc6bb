"""JPEG without OpenCV: the same pixels, upright, and the same refusals."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.images import PHOTOS
from ultraface_deploy.safe.jpeg import decode_jpeg, encode_jpeg, orientation

pytest.importorskip("simplejpeg", reason="decodes where OpenCV is not installed")
MOST = 10**8


def by_opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return bytes(cv2.imencode(".jpg", image, options)[1])


def with_orientation(data: bytes, value: int, order: str) -> bytes:
    """Put an Exif segment with two entries behind the start marker."""
    mark = b"II" if order == "<" else b"MM"
    tiff = mark + struct.pack(f"{order}HIH", 42, 8, 2)
    for tag, number in ((0x0100, 9), (0x0112, value)):
        tiff += struct.pack(f"{order}HHIHH", tag, 3, 1, number, 0)
    payload = b"Exif\0\0" + tiff + struct.pack(f"{order}I", 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def test_photographs(photos: list[Path]) -> None:
    for path in (*photos, *PHOTOS.glob("*.jpg")):
        data = path.read_bytes()
        image, damage = decode_jpeg(data, MOST)
        assert damage is None
        np.testing.assert_array_equal(image, by_opencv(data), err_msg=path.name)


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize("gray", [False, True])
def test_kinds(options: tuple[int, ...], gray: bool) -> None:
    image = cv2.resize(noise(8, 6), (93, 71))
    data = jpeg(image[..., 0] if gray else image, *options)
    np.testing.assert_array_equal(decode_jpeg(data, MOST)[0], by_opencv(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(10))
def test_orientations(value: int, order: str) -> None:
    data = with_orientation(jpeg(cv2.resize(noise(8, 6), (93, 71))), value, order)
    assert orientation(data) == (value if 1 <= value <= 8 else 1)
    np.testing.assert_array_equal(decode_jpeg(data, MOST)[0], by_opencv(data))


def test_exif_that_is_cut_off_states_nothing() -> None:
    data = with_orientation(jpeg(noise(16, 16)), 6, "<")
    start = data.index(b"Exif")
    for length in range(0, 40, 3):
        orientation(data[: start + length])


def test_a_file_that_is_cut_off_is_read_in_part() -> None:
    data = jpeg(noise(160, 160))
    image, damage = decode_jpeg(data[: len(data) // 2] + b"\xff\xd9", MOST)
    assert image.shape == (160, 160, 3) and damage is not None


def test_refusals() -> None:
    with pytest.raises(InputError, match="more than 100 pixels"):
        decode_jpeg(jpeg(noise(16, 16)), 100)
    with pytest.raises(InputError, match="not a JPEG"):
        decode_jpeg(b"\xff\xd8\xffno picture", MOST)


def test_what_is_written_can_be_read() -> None:
    image = cv2.resize(noise(8, 6), (93, 71))
    again = by_opencv(encode_jpeg(image))
    assert again.shape == image.shape
    assert np.abs(again.astype(int) - image).mean() < 8


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "simplejpeg", None)
    with pytest.raises(MissingDependency, match="pip install simplejpeg"):
        decode_jpeg(jpeg(noise(16, 16)), MOST)
    with pytest.raises(MissingDependency, match="pip install simplejpeg"):
        encode_jpeg(noise(16, 16))
