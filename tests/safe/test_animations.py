"""Pictures that move: what counts as one, their pictures and times, and what bounds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.animations import is_animated, read_animation

KINDS = (".gif", ".webp", ".png", ".avif")
LEVELS = (10, 90, 170, 250)


def animate(
    path: Path, milliseconds: Sequence[int] = (200,) * len(LEVELS), size: tuple[int, int] = (64, 48)
) -> Path:
    if not hasattr(cv2, "imwriteanimation"):
        pytest.skip("this OpenCV writes no animations")
    animation = cv2.Animation()
    animation.frames = [np.full((*size[::-1], 3), level, np.uint8) for level in LEVELS]
    animation.durations = list(milliseconds)
    if not cv2.imwriteanimation(str(path), animation):
        pytest.skip(f"this OpenCV writes no animated {path.suffix}")
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_pictures_and_their_times(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a{suffix}")
    assert is_animated(path)
    found = list(read_animation(path))
    assert [shown for _, shown in found] == pytest.approx([0.2] * 4)
    for (image, _), level in zip(found, LEVELS, strict=True):
        assert image.shape == (48, 64, 3) and abs(int(image.mean()) - level) < 8


@pytest.mark.parametrize("suffix", KINDS)
def test_times_too_short_are_what_browsers_make_of_them(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a{suffix}", [0, 10, 20, 30])
    found = [shown for _, shown in read_animation(path)]
    assert found == pytest.approx([0.1, 0.1, 0.02, 0.03])


@pytest.mark.parametrize("suffix", KINDS)
def test_a_single_picture_is_none(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if not (cv2.haveImageWriter(str(path)) and cv2.imwrite(str(path), noise(64, 48))):
        pytest.skip(f"this OpenCV writes no {suffix}")
    assert not is_animated(path)


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert not is_animated(tmp_path / "gone.gif")
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    assert not is_animated(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"a\.gif"):
        list(read_animation(tmp_path / "a.gif"))


def test_a_file_larger_than_pictures_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_PICTURE_MB", "1")
    path = tmp_path / "a.gif"
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="set ULTRAFACE_DEPLOY_MAX_PICTURE_MB"):
        next(read_animation(path))
