"""How long a marked video lasts: as long as what was filmed, whatever rate the source states."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.detect.test_sinks import OneFace, write
from tests.detect.test_sources import serving
from tests.safe.test_animations import animate
from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.rates import pace_of, steady_rate
from ultraface_deploy.detect.run import run
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.pipeline import Faces


def shown(path: Path) -> tuple[list[int], float]:
    """The grey of each picture of a video, and its rate, as OpenCV reads them."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(round(float(read[1].mean())))
    return found, capture.get(cv2.CAP_PROP_FPS)


def record(stated: float, times: Sequence[float], target: Path) -> None:
    """Record a camera that states a rate and gives a picture, brighter each time, at each time."""
    camera = FrameSource("camera", camera=0, fps=stated)
    with open_sinks(camera, Wanted(target)) as sinks:
        for index, at in enumerate(times):
            picture = np.full((48, 64, 3), 20 + 200 * index // len(times), np.uint8)
            frame = Frame("camera 0", picture, index, camera, time=at)
            sinks[0].write(frame, sinks[0].prepare(frame, Faces()))


@pytest.mark.parametrize("stated", [0, 15, 30, 1000, 90000])
@pytest.mark.parametrize("came", [2, 10, 30, 100])
def test_a_recording_lasts_as_long_as_what_was_filmed(
    tmp_path: Path, stated: float, came: int
) -> None:
    filmed = 6
    record(stated, [index / came for index in range(filmed * came)], tmp_path / "a.mp4")
    grey, fps = shown(tmp_path / "a.mp4")
    assert fps == pytest.approx(stated if stated in (15, 30) else 25)
    # What came at once may be half a second too long; the last picture is shown once.
    assert filmed - 1 / came - 0.1 < len(grey) / fps < filmed + 0.6
    # In the middle of the recording is what was filmed then.
    middle = grey[len(grey) // 2]
    assert middle == pytest.approx(120, abs=20)


def test_pictures_that_come_unevenly_are_all_kept(tmp_path: Path) -> None:
    times = [index / 10 + (0.04 if index % 2 else 0) for index in range(40)]
    record(10, times, tmp_path / "a.mp4")
    grey, _ = shown(tmp_path / "a.mp4")
    assert len(grey) == 40 and all(after > before for before, after in pairwise(grey))


@pytest.mark.slow
def test_a_slow_detector_records_a_stream_in_its_own_time(tmp_path: Path) -> None:
    class Slow(OneFace):
        def detect(self, image: np.ndarray, reduction: object = None, pixel: float = 1.0) -> Faces:
            time.sleep(0.3)
            return self.faces

    rows = tmp_path / "a.jsonl"
    with serving(pictures=250, pause=0.05) as (url, _):
        source = open_source(url)
        begin = time.monotonic()
        with open_sinks(source, Wanted(tmp_path / "a.mp4", jsonl=str(rows))) as sinks:
            for _ in run(Slow(), source, sinks, limit=10):  # type: ignore[arg-type]
                pass
        took = time.monotonic() - begin
    grey, fps = shown(tmp_path / "a.mp4")
    times = [json.loads(line)["time"] for line in rows.read_text().splitlines()]
    # The first pictures may have been passed over.
    assert times[0] < 0.5 and times == sorted(times) and 1.5 < times[-1] < took
    # Ten pictures at the stated 25 a second would last 0.4 seconds.
    assert times[-1] < len(grey) / fps < times[-1] + 0.6


def test_a_camera_has_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        given = 0

        def read(self) -> tuple[bool, Any]:
            time.sleep(0.05)
            Camera.given += 1
            return Camera.given < 5, np.zeros((8, 8, 3), np.uint8)

        def release(self) -> None:
            return

    monkeypatch.setattr(FrameSource, "_open", lambda self: (Camera(), "camera 0"))
    times = [frame.time for frame in FrameSource("camera", camera=0)]
    assert times[0] == 0 and len(times) == 4
    assert all(0.05 <= after - before < 2 for before, after in pairwise(times))  # type: ignore[operator]


def test_a_video_on_a_web_server_keeps_its_rate(tmp_path: Path) -> None:
    source = FrameSource("stream", url="http://host/a.mp4", fps=50, finite=True)
    assert not source.live and pace_of(source).fps == 50


REGULAR = np.arange(100) / 30
# Half a second of a fast camera, then a slow one.
SLOW_MOTION = np.concatenate([np.arange(120) / 240, 0.5 + np.arange(60) / 30])


@pytest.mark.parametrize(
    ("times", "stated", "wanted"),
    [
        (REGULAR, 30, 30),
        (REGULAR[:1], 30, 30),
        (REGULAR[:1], 1000, 25),
        (REGULAR, 0, 30),
        (REGULAR, 1000, 30),  # the unit of the clock
        (REGULAR * 0, 12, 12),  # a container without times
        (np.arange(2000) / 1000, 1000, 1000),  # a camera that is as fast
        (np.arange(20) * 5.0, 0.2, 0.2),  # pictures of five seconds
        (REGULAR[[0, 3, 1, 2, 6, 4, 5]], 30, 30),  # as stored, not as shown
        (SLOW_MOTION, 72, 240),
        (np.concatenate([REGULAR, REGULAR]), 30, 30),  # two recordings in one file
        (np.concatenate([REGULAR[:40], REGULAR[:40]]), 30, 30),
        (np.concatenate([REGULAR, REGULAR + 9000]), 30, 30),
    ],
)
def test_the_rate_of_a_video(times: np.ndarray, stated: float, wanted: float) -> None:
    assert steady_rate(times, stated) == pytest.approx(wanted, rel=0.01)


def test_every_picture_is_shown_nearly_when_it_is_due() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        times = np.sort(rng.uniform(0, 30, rng.integers(5, 200)))
        rate = steady_rate(times, len(times) / 30)
        place = -1
        for at in times - times[0]:
            place = max(place + 1, round(at * rate))
            assert abs(place / rate - at) <= 0.1 + 1e-9


def test_few_pictures_that_are_stored_out_of_order() -> None:
    times = np.array([0, 95.04, 90, 95, 300, 95.08])
    assert steady_rate(times, 0.032, sure=True) == 24
    # Of a broadcast that is a clock that was set anew.
    assert steady_rate(times, 0.032) == 0.032


@pytest.mark.parametrize("fps", [65.537, 119.88, 23.976])
def test_rates_that_mpeg_4_cannot_hold(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for _ in range(10):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    write(open_source(str(path)), tmp_path / "marked.mp4")
    grey, rate = shown(tmp_path / "marked.mp4")
    assert len(grey) == 10 and rate == pytest.approx(fps, rel=2e-3)


@pytest.mark.parametrize("kind", ["csv", "count"])
def test_tables_of_what_moves_end_with_the_time(tmp_path: Path, kind: str) -> None:
    path, target = animate(tmp_path / "a.gif", [100, 300, 50, 200]), tmp_path / "a.csv"
    source = open_source(str(path))
    with open_sinks(source, Wanted(**{kind: str(target)})) as sinks:  # type: ignore[arg-type]
        for _ in run(OneFace(), source, sinks):  # type: ignore[arg-type]
            pass
    with target.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-1] == "time" and {len(row) for row in rows} == {len(rows[0])}
    assert [float(row[-1]) for row in rows[1:]] == pytest.approx([0, 0.1, 0.4, 0.45])
