"""Reading photographs, finding them, and those that ship."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import (
    DEMO_PHOTO,
    PHOTOS,
    as_bgr,
    embedded_images,
    list_images,
    read_image,
    read_images,
)


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_lossless_formats(tmp_path: Path, suffix: str) -> None:
    image = noise(20, 10)
    np.testing.assert_array_equal(read_image(write(tmp_path / f"a.{suffix}", image)), image)


@pytest.mark.parametrize(
    "image",
    [
        noise(8, 6)[..., 0],
        np.dstack([noise(8, 6), noise(8, 6)[..., :1]]),
        noise(8, 6) * np.uint16(257),
    ],
    ids=["gray", "alpha", "16 bit"],
)
def test_other_pixels_become_8_bit_bgr(tmp_path: Path, image: np.ndarray) -> None:
    read = read_image(write(tmp_path / "a.png", image))
    assert (read.shape, read.dtype) == ((6, 8, 3), np.uint8)


def test_names_that_are_no_ascii(tmp_path: Path) -> None:
    image = noise(4, 4)
    path = tmp_path / "Gruppenfoto äöü 家族.png"
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    np.testing.assert_array_equal(read_image(path), image)


def test_turned_upright_by_exif(tmp_path: Path) -> None:
    """Orientation 6: the camera was held on its side."""
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = 255
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + tag + b"\x00\x00\x00\x00"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])
    upright = read_image(path)
    assert upright.shape == (16, 8, 3)
    assert upright[:7].mean() > 250
    assert upright[9:].mean() < 5


def test_cmyk_as_pillow_decodes_it(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="writes and decodes CMYK independently")
    path = tmp_path / "print.jpg"
    pillow.open(DEMO_PHOTO).convert("CMYK").save(path, quality=95)
    with pillow.open(path) as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.abs(read_image(path).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("content", [b"", b"text\n", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.jpg"):
        read_image(path)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such picture"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match="is not a file"):
        read_image(tmp_path)


def test_folder_is_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "c.webp"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG", "c.webp"]


def test_folder_without_photographs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no photographs"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "gone")
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026" / "a.jpg").touch()
    with pytest.raises(InputError, match="give a folder in it, such as"):
        list_images(tmp_path)


def test_read_one_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", noise(4, 4))
    images = read_images([path, tmp_path / "gone.png"])
    assert next(images).shape == (4, 4, 3)
    with pytest.raises(InputError):
        next(images)


def test_shipped_photographs() -> None:
    assert DEMO_PHOTO.is_file()
    credits = (PHOTOS / "CREDITS.md").read_text()
    for photo in PHOTOS.glob("*.jpg"):
        assert photo.name in credits
    images = list(embedded_images())
    assert len(images) >= 5
    assert all(image.ndim == 3 and image.dtype == np.uint8 for image in images)
    again = list(embedded_images())
    assert all((a == b).all() for a, b in zip(images, again, strict=True))


def test_gray_images() -> None:
    gray = noise(20, 10)[..., 0]
    for image in (gray, gray[..., None]):
        bgr = as_bgr(image)
        assert bgr.shape == (10, 20, 3)
        assert all((bgr[..., channel] == gray).all() for channel in range(3))


def test_alpha_is_dropped() -> None:
    image = noise(20, 10)
    alpha = np.dstack([image, np.zeros((10, 20), np.uint8)])
    np.testing.assert_array_equal(as_bgr(alpha), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_images(channels: int) -> None:
    values = np.array([0, 255, 256, 65535, 32768], np.uint16)
    image = np.repeat(values[None, :, None], channels, axis=2)
    np.testing.assert_array_equal(as_bgr(image)[0, :, 0], [0, 0, 1, 255, 128])


def test_uint8_bgr_is_not_copied() -> None:
    image = noise(5, 5)
    assert as_bgr(image) is image


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 10, 3), np.uint8),
        np.zeros(10, np.uint8),
        np.zeros((1, 2, 3, 4), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((5, 5, 7), np.uint16),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((5, 5, 3), bool),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_what_is_not_an_image(image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"image|array"):
        as_bgr(image)


def test_a_file_larger_than_pictures_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_PICTURE_MB", "1")
    path = tmp_path / "a.bmp"
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="set ULTRAFACE_DEPLOY_MAX_PICTURE_MB"):
        read_image(path)
