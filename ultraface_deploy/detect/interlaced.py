"""Interlaced videos, as of DVDs, DV and 1080i broadcasts, where OpenCV returns no pictures of them.

From 4.13 on, with FFmpeg 8, OpenCV's conversion to BGR fails for each, and `read` returns True with
whatever its memory held: black, or an older picture. FFmpeg says so on standard error alone.
"""

from __future__ import annotations

from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import native_name
from ultraface_deploy.safe.opencv import cv2
from ultraface_deploy.safe.overheard import overhear

_SAYS = "Cannot convert interlaced"
# The first may be whole pictures.
_TRIED = 5


def require_progressive(path: Path) -> None:
    """Refuse an interlaced video where this OpenCV does not decode it.

    Raises:
        InputError: says what does.
    """
    _, said = overhear(lambda: _read_some(path))
    if (problem := told_of(said)) is not None:
        raise InputError(
            f"{path}: {problem}; "
            "pip install 'opencv-python-headless<4.13', or convert it: "
            f"ffmpeg -i {path} -vf yadif out.mp4"
        )


def told_of(said: str) -> str | None:
    """Return what is wrong if FFmpeg said that pictures are interlaced and cannot be converted."""
    if _SAYS not in said:
        return None
    return f"is interlaced, which OpenCV {cv2.__version__} cannot decode"


def _read_some(path: Path) -> None:
    with native_name(path) as native:
        capture = cv2.VideoCapture(native)
    for _ in range(_TRIED):
        try:
            if not capture.read()[0]:
                break
        except cv2.error:
            break
    capture.release()
