"""A watched source as a whole: it dies and comes back; a day of it does not grow."""

from __future__ import annotations

import gc
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import noise
from tests.serve.conftest import Server, running
from tests.serve.test_app import events, parts, until
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.serve.latest import Newest, Slot
from ultraface_deploy.serve.live import Live, Watched, _small_jpeg
from ultraface_deploy.serve.looking import Look, Looker, Seen
from ultraface_deploy.serve.metrics import Metrics
from ultraface_deploy.serve.server import make_server
from ultraface_deploy.serve.source import Picture, open_live
from ultraface_deploy.serve.statistics import BUCKETS, Statistics


def test_a_source_that_dies_and_comes_back(clip: Path) -> None:
    """The MJPEG stream of one server is the source of another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://user:secret@127.0.0.1:{port}/v1/video"
    with running(open_live(url), url) as second:
        until(lambda: state(second)["state"] == "waiting")
        assert second.ask("/v1/health").status == 503
        for _ in range(2):
            with running(open_live(str(clip)), str(clip), port=port):
                until(lambda: state(second)["state"] == "running")
                assert second.json("/v1/health") == {"status": "ok"}
                assert any(data["faces"] for name, data in events(second, 8) if name == "faces")
                assert len(parts(second, 3)) == 3
            until(lambda: state(second)["state"] == "waiting")
            assert state(second)["reason"]
            # Those who listen are told.
            told = [data for name, data in events(second, 4) if name == "status"]
            assert told[-1]["source"]["state"] == "waiting"
            assert told[-1]["faces"] == 0
        assert "secret" not in str(second.json("/v1/status"))


def state(server: Server) -> Any:
    return server.json("/v1/status")["source"]


def test_a_day_of_pictures_does_not_grow() -> None:
    """A picture every two seconds, one of three dropped, without the network."""

    class Fixed(Look):
        def __init__(self) -> None:
            pass

        def __call__(self, image: Any, threshold: float) -> Any:
            count = int(image[0, 0, 0]) % 5
            faces = Faces(
                np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.ones(count, int)
            )
            return faces, {"network": 0.004}

    now = [0.0]

    def clock() -> float:
        return now[0]

    metrics, slot, newest = Metrics(), Slot[Picture](), Newest[Seen]()
    statistics = Statistics(metrics, clock)
    looker = Looker(Fixed(), slot, newest.publish, statistics, 0.5, clock=clock)

    def hours(number: int) -> None:
        for picture in range(number * 1800):
            now[0] += 2
            image = np.full((4, 4, 3), picture % 251, np.uint8)
            slot.put(Picture(image, now[0], None))
            if picture % 3:
                looker.see(slot.take())
                assert newest.value is not None
                newest.value.text(0.5)

    hours(2)
    gc.collect()
    before = sys.getallocatedblocks()
    hours(22)
    gc.collect()
    grown = sys.getallocatedblocks() - before
    # An object a picture would be 26,400; other threads of this process come and go.
    assert grown < 5000, grown
    assert len(statistics.hour()) <= BUCKETS
    assert newest.value is not None
    assert newest.value.number == 24 * 1200


def test_pictures_for_viewers_are_not_wider_than_asked_for() -> None:
    import cv2

    for size, wanted in (((100, 50), (100, 50)), ((640, 480), (320, 240)), ((5000, 3), (320, 1))):
        jpeg = np.frombuffer(_small_jpeg(noise(*size), 320), np.uint8)
        assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape[1::-1] == wanted


def test_it_ends_while_streams_are_read(clip: Path) -> None:
    """`running` fails if the server does not end."""
    with running(open_live(str(clip)), str(clip)) as server:
        answers = [server.ask("/v1/video"), server.ask("/v1/events")]
        assert answers[0].read(1000)
        begin = time.monotonic()
    assert time.monotonic() - begin < 20
    for answer in answers:
        answer.close()


def test_a_server_without_a_source_ends_nothing() -> None:
    from ultraface_deploy.serve.app import Parts

    with Detector.open() as detector:
        server = make_server(Parts.of(detector, detector))
        server._end()  # type: ignore[attr-defined]


def test_a_source_that_was_never_opened_has_no_picture() -> None:
    with Detector.open() as detector:
        live = Live(
            Watched(FrameSource("camera", camera=0), "0"), Look(detector.session), 0.5, Metrics()
        )
        assert not live.running
        assert live.status()["source"] == {
            "name": "0",
            "state": "starting",
            "reason": None,
            "returns": 0,
        }


def test_viewers_see_no_folder_of_a_file_that_is_watched() -> None:
    video = Watched(FrameSource("video"), "/home/mine/./private/clip.mp4")
    assert video.shown(video.name) == "clip.mp4"
    assert video.shown("/home/mine/private/clip.mp4: damaged") == "clip.mp4: damaged"
    assert video.shown(None) is None
    camera = Watched(FrameSource("camera", camera=0), "/dev/video0")
    assert camera.shown(camera.name) == "/dev/video0"
