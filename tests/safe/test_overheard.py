"""What native code says about a picture, while other threads read others."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest

from tests.conftest import noise
from ultraface_deploy.safe.images import read_picture
from ultraface_deploy.safe.overheard import overhear


def say(text: str) -> str:
    os.write(2, text.encode())
    return text


def test_what_is_written_comes_back_and_the_rest_is_passed_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert overhear(lambda: say("Corrupt JPEG data: a\n")) == (("Corrupt JPEG data: a\n",) * 2)
    assert overhear(lambda: "quiet") == ("quiet", "")
    assert overhear(lambda: say("another\n"))[1] == "another\n"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "another\nafter\n"


def test_an_error_gives_standard_error_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        overhear(lambda: 1 // 0)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_of_pictures_read_at_once_only_the_damaged_are_named(tmp_path: Path) -> None:
    whole = bytearray(cv2.imencode(".jpg", noise(320, 240))[1].tobytes())
    hurt = whole.copy()
    hurt[len(hurt) // 2 : len(hurt) // 2 + 60] = b"\xff\xd0" * 30
    paths = [tmp_path / f"{number:03}.jpg" for number in range(60)]
    for number, path in enumerate(paths):
        path.write_bytes(hurt if number % 7 == 3 else whole)
    with ThreadPoolExecutor(8) as pool:
        damages = [picture.damage for picture in pool.map(read_picture, paths)]
    for number, damage in enumerate(damages):
        assert (damage is not None) == (number % 7 == 3), (number, damage)
