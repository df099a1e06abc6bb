"""The source loop: a source that dies comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ultraface_deploy.detect.sources import Frame, FrameSource, Stopped
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.serve.latest import Slot
from ultraface_deploy.serve.source import Feed, Picture, open_live

IMAGE = np.zeros((48, 64, 3), np.uint8)


class Time:
    """A clock that goes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Scripted(FrameSource):
    """Gives what a script says each time it is opened: so many pictures, or an error."""

    script: list[Any]
    feed: Feed

    def __iter__(self) -> Iterator[Frame]:
        if not self.script:  # never, and not for ever if so
            self.feed._stopping.set()
            return
        step = self.script.pop(0)
        for index in range(0 if isinstance(step, Exception) else step):
            yield Frame("camera 0", IMAGE, index, self)
        if self.kind == "camera":
            self.accept(Stopped("camera 0", "camera 0: stopped", 5))
        if not self.script:
            self.feed._stopping.set()
        if isinstance(step, Exception):
            raise step


def play(kind: Any, script: list[Any], fps: float = 0.0) -> tuple[Feed, Time, Slot[Picture]]:
    time, slot = Time(), Slot[Picture]()
    source = Scripted(kind, fps=fps)
    source.script = script
    feed = source.feed = Feed(source, slot, time.clock, time.wait)
    feed.run()
    return feed, time, slot


def test_a_camera_that_dies_is_opened_again_with_longer_and_longer_pauses() -> None:
    gone = InputError("camera 0: cannot be opened; is it plugged in and free?")
    feed, time, _ = play("camera", [5, gone, gone, gone, 3, gone])
    assert time.waits == [0.5, 1.0, 2.0, 4.0, 0.5]
    assert feed.returns == 5


def test_the_longest_pause() -> None:
    _, time, _ = play("camera", [OSError("gone")] * 12)
    assert max(time.waits) == 30.0
    assert time.waits[-1] == 30.0


def test_what_is_told_of_it() -> None:
    time, slot = Time(), Slot[Picture]()
    source = Scripted("camera")
    source.script = [2]
    feed = source.feed = Feed(source, slot, time.clock, time.wait)
    assert feed.state.name == "starting"
    feed.run()
    assert feed.state.name == "running"
    slot.take()
    time.now += 60
    assert feed.state.name == "waiting"
    assert feed.state.reason == "camera 0: stopped"


def test_a_source_that_never_opened_says_why() -> None:
    feed, _, _ = play("camera", [InputError("camera 0: cannot be opened")])
    assert feed.state.name == "waiting"
    assert feed.state.reason == "camera 0: cannot be opened"


def test_a_stream_that_is_silent_says_so() -> None:
    """It connects again by itself, and until then nobody tells us anything."""
    time = Time()
    source = Scripted("stream")
    slot = Slot[Picture]()
    source.script = [1]
    feed = source.feed = Feed(source, slot, time.clock, time.wait)
    slot.close()  # nobody takes
    feed.run()
    feed._problem = None
    time.now += 7
    assert feed.state.name == "running", "a picture is there that nobody wanted yet"
    slot._value = None
    assert feed.state.reason == "no picture for 7 s"


def test_memory_of_why_does_not_grow() -> None:
    """A source keeps what stopped it, one reason after the other."""
    feed, _, _ = play("camera", [1] * 50)
    assert feed._problem == "camera 0: stopped"


def test_a_video_on_a_web_server_is_played_at_its_speed() -> None:
    clock = Time()

    class Web(Scripted):
        def __iter__(self) -> Iterator[Frame]:
            clock.now += 3  # to connect
            self.fps, self.finite = 10.0, True
            for index, at in enumerate([0.0, 0.1, 0.9, 1.0]):
                yield Frame("http://host/a.mp4", IMAGE, index, self, time=at)
            self.feed._stopping.set()

    source, slot = Web("stream"), Slot[Picture]()
    source.feed = Feed(source, slot, clock.clock, clock.wait)
    source.feed.run()  # nobody takes a picture, and it goes on
    assert clock.now - 103.0 == pytest.approx(1.0 + 1 / 10)
    assert slot.dropped == 3


def test_a_video_is_played_at_its_speed_and_begins_again() -> None:
    feed, time, slot = play("video", [50, 50], fps=25.0)
    # The last picture is shown as long as the others.
    assert time.now - 100.0 == pytest.approx(2 * 50 / 25)
    assert feed.returns == 0
    assert slot.take().read_s is not None


@pytest.mark.parametrize(
    ("times", "lasts", "wanted"),
    [
        ([0.0, 0.1, 0.9, 1.0], None, 1.0 + 1 / 25),
        ([5.0, 5.1, 5.9, 6.0], 0.5, 1.5),
        ([0.0, None, None], None, 3 / 25),  # the container says nothing
        ([0.0, 9e9, 9e9 + 1, 1.0, 2.0], None, 1 / 25 + 1 + 1 / 25 + 1 + 1 / 25),  # clocks that jump
    ],
)
def test_a_video_is_played_at_the_times_of_its_pictures(
    times: list[float | None], lasts: float | None, wanted: float
) -> None:
    class Irregular(Scripted):
        def __iter__(self) -> Iterator[Frame]:
            for index, at in enumerate(times):
                yield Frame("a.mp4", IMAGE, index, self, time=at, lasts=lasts)
            self.feed._stopping.set()

    clock, source = Time(), Irregular("video", fps=25.0)
    source.feed = Feed(source, Slot[Picture](), clock.clock, clock.wait)
    source.feed.run()
    assert clock.now - 100.0 == pytest.approx(wanted)


def test_a_video_without_pictures_is_not_opened_a_thousand_times_a_second() -> None:
    feed, time, _ = play("video", [0, 0, 0])
    assert time.waits == [0.5, 1.0]
    assert feed.state.reason == "it has no pictures"


def test_a_real_video(clip: Path) -> None:
    source = open_live(str(clip))
    slot = Slot[Picture]()
    feed = Feed(source, slot)
    feed.start()
    try:
        assert slot.take().image.shape == (480, 640, 3)
        assert feed.state.name == "running"
    finally:
        feed.close()
    assert not feed._thread.is_alive()


def test_pictures_are_not_watched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="POST them to /v1/detect"):
        open_live(str(DEMO_PHOTO))
    with pytest.raises(InputError, match="no such"):
        open_live(str(tmp_path / "none.mp4"))
