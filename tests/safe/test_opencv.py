"""What stands in OpenCV's place says so where it is needed, and only there."""

from __future__ import annotations

import pytest

from ultraface_deploy.errors import MissingDependency
from ultraface_deploy.safe import opencv


def test_opencv_is_here() -> None:
    assert opencv.available()


def test_whatever_is_taken_from_it_is_named() -> None:
    missing = opencv.Missing()
    with pytest.raises(MissingDependency, match="without OpenCV, which VideoCapture is part of"):
        _ = missing.VideoCapture
    assert not hasattr(missing, "__wrapped__")
    with pytest.raises(ValueError, match="other"):
        try:
            raise ValueError("other")
        except missing.error:
            pass
