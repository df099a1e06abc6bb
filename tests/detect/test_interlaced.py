"""Interlaced videos: decoded as they are, or refused, and never another picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.detect.test_sources import serving_file
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.errors import InputError


def video(path: Path, interlaced: bool) -> Path:
    """An MPEG-2 video of grey pictures that says it is interlaced or not.

    Bits: ITU-T H.262, 6.2.2.3 (sequence extension) and 6.2.3.1 (picture coding extension).
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mpg2"), 25.0, (64, 64))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG-2")
    for number in range(10):
        writer.write(np.full((64, 64, 3), 120 + number, np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    at = -1
    while (at := content.find(b"\0\0\1\xb5", at + 1)) >= 0:
        if content[at + 4] >> 4 == 1:
            bit, byte = 0x08, at + 5  # progressive_sequence
        elif content[at + 4] >> 4 == 8:
            bit, byte = 0x80, at + 8  # progressive_frame
        else:
            continue
        assert content[byte] & bit
        if interlaced:
            content[byte] &= ~bit
    path.write_bytes(content)
    return path


def test_a_progressive_one_is_read(tmp_path: Path) -> None:
    frames = list(open_source(str(video(tmp_path / "a.avi", interlaced=False))))
    assert [frame.image.mean() for frame in frames] == pytest.approx(range(120, 130), abs=6)


def test_an_interlaced_one_is_read_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = video(tmp_path / "a.avi", interlaced=True)
    try:
        frames = list(open_source(str(path)))
    except InputError as error:
        assert str(error).startswith(f"{path}: is interlaced, which OpenCV {cv2.__version__}")
        # One line says it, not FFmpeg's own.
        assert capfd.readouterr().err == ""
    else:
        assert [frame.image.mean() for frame in frames] == pytest.approx(range(120, 130), abs=6)


def test_one_from_a_web_server(tmp_path: Path) -> None:
    for interlaced in (False, True):
        with serving_file(video(tmp_path / "a.avi", interlaced)) as url:
            source = open_source(url, patience=5)
            frames = list(source)
        if source.stopped is None:
            seen = [frame.image.mean() for frame in frames]
            assert seen == pytest.approx(range(120, 130), abs=6)
        else:
            assert interlaced and frames == []
            assert f"{url}: is interlaced, which OpenCV" in source.stopped
