"""HEIC with the package that reads it, and without."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.heic import decode_heic, is_heic
from ultraface_deploy.safe.images import read_image
from ultraface_deploy.safe.limits import PIXELS


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture whose left half is blue."""
    heif = pytest.importorskip("pillow_heif", reason="HEIC is read with pillow-heif")
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:, :32] = (0, 0, 200)
    heif.from_bytes("RGB", (64, 48), rgb.tobytes()).save(tmp_path / "a.heic", quality=95)
    return tmp_path / "a.heic"


def test_read_in_opencvs_order(picture: Path) -> None:
    assert is_heic(picture.read_bytes())
    found = read_image(picture)
    assert found.shape == (48, 64, 3)
    assert np.abs(found[24, 10].astype(int) - [200, 0, 0]).max() < 30


def test_without_the_package(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingDependency, match=r"a\.heic.*pillow-heif"):
        read_image(picture)


def test_more_pixels_than_allowed(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIXELS, "3000")
    with pytest.raises(InputError, match=f"more than 3000 pixels.*{PIXELS}"):
        decode_heic("a.heic", picture.read_bytes())


def test_damaged(picture: Path) -> None:
    with pytest.raises(InputError, match=r"a\.heic.*not an image that can be decoded"):
        decode_heic("a.heic", picture.read_bytes()[:200])
