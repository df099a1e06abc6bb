"""Videos whose pictures come at irregular times, late, or in part: their end and their times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise, noise_video
from tests.detect.test_sinks import write
from tests.safe.test_animations import animate
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.detect.whole import is_whole, packet_times
from ultraface_deploy.safe.animations import read_animation

PICTURES = 10


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Ten pictures a second, each of one brightness; its index stands at the end of the file."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for number in range(PICTURES):
        writer.write(np.full((48, 64, 3), 20 * number + 20, np.uint8))
    writer.release()
    return path


class Capture:
    """What OpenCV says of a video after its end."""

    def __init__(self, fps: float, pts: float = 0) -> None:
        self._says = {cv2.CAP_PROP_FPS: fps, getattr(cv2, "CAP_PROP_PTS", None): pts}

    def get(self, key: int) -> float:
        return self._says[key]


@pytest.mark.parametrize(
    ("pictures", "fps", "pts", "last", "whole"),
    [
        (60, 30, 0, 1.97, True),
        (58, 30, 0, 1.9, True),
        (26, 30, 0, 1.95, True),  # irregular times
        (5, 30, 59, 0.13, True),  # the first picture comes late
        (40, 30, 39, 1.3, False),
        (40, 0, 0, 1.3, False),
        (0, 30, 0, 0.0, False),
    ],
)
def test_what_is_whole(
    tmp_path: Path, pictures: int, fps: float, pts: float, last: float, whole: bool
) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF" * 20)
    if pts > pictures and not hasattr(cv2, "CAP_PROP_PTS"):
        pytest.skip("this OpenCV does not say when the first picture comes")
    said = is_whole(tmp_path / "a.avi", Capture(fps, pts), pictures, 60, last)
    assert said is whole
    assert is_whole(tmp_path / "a.avi", Capture(fps, pts), pictures, None, last)


def _cut_to_half(content: bytearray) -> None:
    """Show half of the pictures, as cutting without decoding again does."""
    for kind, at in ((b"mvhd", 20), (b"elst", 12)):
        start = content.index(kind) + at
        shown = int.from_bytes(content[start : start + 4], "big") // 2
        content[start : start + 4] = shown.to_bytes(4, "big")


def _cut_off(content: bytearray) -> None:
    """Lose the second half of the pictures: the index points into nothing."""
    start = content.index(b"mdat") + 4
    stop = content.index(b"moov") - 4
    content[(start + stop) // 2 : stop] = bytes(stop - (start + stop) // 2)


def _linger(content: bytearray, times: int = 4) -> None:
    """Show the second half of the pictures so many times as long."""
    start = content.index(b"stts") + 4
    delta = int.from_bytes(content[start + 12 : start + 16], "big")
    entries = ((PICTURES // 2, delta), (PICTURES - PICTURES // 2, times * delta))
    table = b"".join(number.to_bytes(4, "big") for entry in entries for number in entry)
    content[start : start + 16] = bytes(4) + (2).to_bytes(4, "big") + table
    for kind in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = content.index(kind) - 4
        size = int.from_bytes(content[at : at + 4], "big") + 8
        content[at : at + 4] = size.to_bytes(4, "big")
    longer = (5 + 5 * times) / PICTURES
    for kind, at in ((b"mvhd", 20), (b"mdhd", 20), (b"elst", 12), (b"tkhd", 24)):
        start = content.index(kind) + at
        shown = round(int.from_bytes(content[start : start + 4], "big") * longer)
        content[start : start + 4] = shown.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("change", "whole"), [(_cut_to_half, True), (_cut_off, False), (_linger, True)]
)
def test_the_end_of_an_mp4(video: Path, change: Callable[[bytearray], None], whole: bool) -> None:
    content = bytearray(video.read_bytes())
    change(content)
    video.write_bytes(content)
    source = open_source(str(video))
    assert 0 < sum(1 for _ in source) <= PICTURES
    assert (source.stopped is None) is whole


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_clock_of_a_thousand_ticks_a_second_is_no_rate(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.avi"
    noise_video(path, 40, 1000.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    source = open_source(str(path))
    assert source.count is None
    seen = sum(1 for _ in source)
    if share == 1:
        assert seen == 40 and source.stopped is None
    else:
        assert seen < 25 and source.stopped == f"{path}: stopped after {seen} pictures"


def levels(path: Path) -> list[int]:
    """The number of the picture that a video shows, from one picture to the next."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(round((float(read[1][:, 50:].mean()) - 20) / 20))
    return found


def test_a_marked_video_keeps_the_times(video: Path, tmp_path: Path) -> None:
    write(open_source(str(video)), tmp_path / "same.mp4")
    assert levels(tmp_path / "same.mp4") == list(range(PICTURES))
    content = bytearray(video.read_bytes())
    _linger(content)
    video.write_bytes(content)
    source = open_source(str(video))
    assert [frame.time for frame in source] == pytest.approx(
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.3, 1.7, 2.1]
    )
    if not any(packet_times(video)):
        pytest.skip("this OpenCV gives no times of pictures that are not decoded")
    assert source.fps == pytest.approx(4)
    write(source, tmp_path / "marked.mp4")
    # The mean, 4 a second, is too slow for 5 pictures in half a second: each would come late.
    shown = levels(tmp_path / "marked.mp4")
    rate = cv2.VideoCapture(str(tmp_path / "marked.mp4")).get(cv2.CAP_PROP_FPS)
    at = [shown.index(number) / rate for number in range(PICTURES)]
    assert at == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.3, 1.7, 2.1], abs=0.1)
    assert shown == sorted(shown)


def test_pictures_that_are_shown_for_more_than_a_minute(video: Path, tmp_path: Path) -> None:
    animate(tmp_path / "a.gif", [70_000, 1000, 130_000, 1000])
    content = bytearray(video.read_bytes())
    _linger(content, 700)
    video.write_bytes(content)
    if not any(packet_times(video)):
        pytest.skip("this OpenCV gives no times of pictures that are not decoded")
    # The last picture of a video is shown once: its header does not say for how long.
    for path, lasts in ((tmp_path / "a.gif", 202), (video, 0.5 + 4 * 70)):
        write(open_source(str(path)), tmp_path / "marked.mp4")
        marked = open_source(str(tmp_path / "marked.mp4"))
        assert marked.count is not None
        assert marked.count / marked.fps == pytest.approx(lasts, abs=1.1)


def test_a_picture_is_repeated_until_the_next_one(tmp_path: Path) -> None:
    path = animate(tmp_path / "a.gif", [100, 300, 50, 200])
    write(open_source(str(path)), tmp_path / "marked.mp4")
    capture = cv2.VideoCapture(str(tmp_path / "marked.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(20)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2 + 6 + 1 + 4
    write(open_source(str(path)), tmp_path / "marked.gif")
    shown = [seconds for _, seconds in read_animation(tmp_path / "marked.gif")]
    assert shown == pytest.approx([0.1, 0.3, 0.05, 0.2])


@pytest.mark.parametrize("plays", [0, 1, 2, 7])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_marked_animation_is_played_as_often(tmp_path: Path, suffix: str, plays: int) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="says independently how often it is played")
    if not hasattr(cv2, "imencodeanimation"):
        pytest.skip("this OpenCV writes no animations")
    pictures = [pillow.new("RGB", (64, 48), (level, level, level)) for level in (10, 90, 170)]
    # A GIF states how often it is played again, and nothing where it is played once.
    says = plays if suffix != ".gif" or plays == 0 else plays - 1 or None
    path, target = tmp_path / f"a{suffix}", tmp_path / f"marked{suffix}"
    stated = {} if says is None else {"loop": says}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=200, **stated)
    assert pillow.open(path).info.get("loop") == says
    write(open_source(str(path)), target)
    assert pillow.open(target).info.get("loop") == says
    # Between kinds, too.
    write(open_source(str(path)), tmp_path / "other.webp")
    assert pillow.open(tmp_path / "other.webp").info.get("loop") == plays


def test_a_video_that_loses_a_pixel_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    for name, size in (("odd", (65, 47)), ("even", (64, 48))):
        folder = tmp_path / name
        folder.mkdir()
        animate(folder / "a.gif", size=size)
        target = tmp_path / f"{name}.mp4"
        source = open_source(str(folder / "a.gif"))
        with open_sinks(source, Wanted(target), report=said.append) as sinks:
            for frame in source:
                sinks[0].write(frame, noise(*size))
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / 'odd.mp4'}: 64x46, the pictures have 65x47")


def test_a_video_whose_pictures_change_size_says_so_once(tmp_path: Path) -> None:
    said: list[str] = []
    source = open_source(str(animate(tmp_path / "a.gif")))
    with open_sinks(source, Wanted(tmp_path / "a.mp4"), report=said.append) as sinks:
        for frame in source:
            size = (64, 48) if frame.index == 0 else (128, 96)
            sinks[0].write(frame, noise(*size))
    assert said == [
        f"{tmp_path / 'a.mp4'}: the pictures change from 64x48 to 128x96; "
        "all are scaled to the first size"
    ]
    assert open_source(str(tmp_path / "a.mp4")).count == 4
