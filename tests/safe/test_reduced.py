"""JPEGs decoded smaller: coordinates against the whole picture, in every orientation."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import noise
from ultraface_deploy.safe.images import read_image, read_picture
from ultraface_deploy.safe.reduced import Header, read_header, reduction


def encoded(image: np.ndarray, orientation: int | None, order: str = "<") -> bytes:
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    if orientation is None:
        return jpeg
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    entries = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 7)
    segment = b"Exif\0\0" + tiff + struct.pack(order + "H", 2) + other + entries + bytes(4)
    marker = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big")
    return jpeg[:2] + marker + segment + jpeg[2:]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("size", [(643, 487), (640, 480), (487, 643)])
def test_places_in_the_whole_picture(
    tmp_path: Path, size: tuple[int, int], orientation: int | None, order: str
) -> None:
    picture = np.full((size[1], size[0], 3), 40, np.uint8)
    cv2.rectangle(picture, (101, 66), (236, 170), (220, 220, 220), -1)
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(picture, orientation, order))
    whole = read_image(path)
    for least, factor in (((50, 50), 8), ((100, 100), 4), ((200, 200), 2)):
        image, damage, smaller = read_picture(path, least)
        assert damage is None and smaller is not None
        assert smaller.factor == factor and smaller.size == image.shape[1::-1]
        assert (smaller.height, smaller.width) == whole.shape[:2]
        assert image.shape[1] >= least[0] and image.shape[0] >= least[1]
        offset = np.array([smaller.left, smaller.top])
        np.testing.assert_allclose(middle(image) * factor - offset, middle(whole), atol=0.3)
    assert read_picture(path, (400, 400)).reduction is None
    assert read_picture(path).reduction is None


def middle(image: np.ndarray) -> np.ndarray:
    """Centre x y of what is bright, counted from the corner of the picture."""
    weights = image[..., 0].astype(float) - 40
    weights[weights < 8] = 0
    rows, columns = np.indices(weights.shape) + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def test_what_opencv_turns_otherwise_is_decoded_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(640, 480), 6))
    monkeypatch.setattr("ultraface_deploy.safe.reduced.orientation", lambda jpeg: 1)
    image, _, smaller = read_picture(path, (100, 100))
    assert smaller is None and image.shape == (640, 480, 3)


def test_other_kinds_and_broken_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise(640, 480))
    assert read_picture(path, (10, 10)).image.shape == (480, 640, 3)
    jpeg = encoded(noise(640, 480), None)
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    image, damage, smaller = read_picture(tmp_path / "cut.jpg", (100, 100))
    assert image.shape == (120, 160, 3) and smaller is not None
    assert damage is not None and "cut off" in damage


def test_header() -> None:
    assert read_header(encoded(noise(30, 20), 5)) == Header(30, 20, 5)
    assert read_header(encoded(noise(30, 20), 99)) == Header(30, 20, 1)
    thumbnail = encoded(noise(16, 16), None)
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    jpeg = encoded(noise(30, 20), 8)
    assert read_header(jpeg[:2] + segment + jpeg[2:]) == Header(30, 20, 8)


@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    jpeg = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), 6))[:120]
    for _ in range(data.draw(st.integers(0, 8))):
        jpeg[data.draw(st.integers(0, len(jpeg) - 1))] = data.draw(st.integers(0, 255))
    read_header(bytes(jpeg[: data.draw(st.integers(0, len(jpeg)))]))
    assert reduction(data.draw(st.binary(max_size=64)), (1, 1)) is None
