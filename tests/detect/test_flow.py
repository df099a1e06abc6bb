"""Several pictures at a time: the same results in the same order, bounded, and ended at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise, noise_video
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.run import Workers, run
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.detect.sources import Frame, FrameSource
from ultraface_deploy.errors import BackendError
from ultraface_deploy.pipeline import Faces


class Seeing:
    """A detector that sees faces which depend on the picture, faster or slower."""

    def __init__(self, look: Callable[[np.ndarray], None] = lambda image: None) -> None:
        self._look = look
        self.closed = False

    def detect(self, image: np.ndarray, reduction: object = None, pixel: float = 1.0) -> Faces:
        self._look(image)
        count = int(image[0, 0, 0]) % 3
        corners = np.array([[x, 4, x + 20, 30] for x in range(2, 2 + count)], np.float32)
        return Faces(
            corners.reshape(-1, 4), np.full(count, 0.75, np.float32), np.ones(count, np.int64)
        )

    def close(self) -> None:
        self.closed = True


def several(count: int | None, make: Callable[[], Seeing] = Seeing) -> Workers:
    return Workers(count, make)  # type: ignore[arg-type]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Forty pictures of three formats in two folders, some damaged and some unreadable."""
    for number in range(40):
        folder = tmp_path / f"pictures-{number % 2}"
        folder.mkdir(exist_ok=True)
        suffix = (".jpg", ".png", ".bmp")[number % 3]
        content = cv2.imencode(suffix, noise(64 + number, 48, number))[1].tobytes()
        if number % 10 == 4:
            content = b"no picture"
        if suffix == ".jpg" and number % 4 == 1:
            content = content[: len(content) * 2 // 3]
        (folder / f"{number // 2:02}{suffix}").write_bytes(content)
    return tmp_path


def everything(source: str, out: Path, workers: Workers | None, limit: int | None) -> list[str]:
    out.mkdir()
    frames = open_source(source)
    wanted = Wanted(
        out / ("clip.avi" if frames.kind == "video" else "marked"),
        *(str(out / name) for name in ("faces.json", "faces.csv", "count.csv")),
        crops=out / "crops",
    )
    with open_sinks(frames, wanted) as sinks:
        seen = [
            f"{frame.name} {frame.index} {len(faces)}"
            for frame, faces in run(Seeing(slow_at_times), frames, sinks, limit, workers)  # type: ignore[arg-type]
        ]
    return [*seen, *frames.unreadable, *frames.damaged]


def slow_at_times(image: np.ndarray) -> None:
    time.sleep(0.004 * (int(image[0, 0, 1]) % 3))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("limit", [None, 13])
def test_every_file_is_the_same_with_any_number_of_workers(
    pictures: Path, tmp_path: Path, limit: int | None
) -> None:
    source = str(pictures / "pictures-*/*")
    alone = everything(source, tmp_path / "alone", None, limit)
    wanted = contents(tmp_path / "alone")
    assert len(wanted) > 20 and any("-2." in name for name in wanted)
    for count in (2, 5):
        assert everything(source, tmp_path / f"{count}", several(count), limit) == alone
        assert contents(tmp_path / f"{count}") == wanted


@pytest.mark.parametrize("limit", [None, 7])
def test_a_video_too(tmp_path: Path, limit: int | None) -> None:
    path = tmp_path / "clip.avi"
    noise_video(path, 20)
    alone = everything(str(path), tmp_path / "alone", None, limit)
    assert everything(str(path), tmp_path / "three", several(3), limit) == alone
    assert contents(tmp_path / "three") == contents(tmp_path / "alone")


class Endless(FrameSource):
    """A source that counts what it has handed out."""

    def __init__(self) -> None:
        super().__init__("video")
        self.handed_out = 0
        self.closed = False

    def _video(self) -> Iterator[Frame]:
        try:
            while True:
                self.handed_out += 1
                yield Frame("endless", noise(8, 8, self.handed_out), self.handed_out)
        finally:
            self.closed = True


def of_this_test() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith(("source", "worker-"))]


def test_as_many_at_a_time_as_workers_and_no_more_in_memory() -> None:
    together = threading.Barrier(3, timeout=30)
    source, opened = Endless(), []

    def make() -> Seeing:
        opened.append(Seeing(lambda image: (together.wait(), None)[1]))
        return opened[-1]

    with closing(run(make(), source, [], None, several(3, make))) as results:  # type: ignore[arg-type]
        for number in range(1, 31):
            frame, _ = next(results)
            assert frame.index == number
            # Handed out, but not yet yielded: under way, waiting, and one in the source's hand.
            assert source.handed_out - number <= 2 * 3 + 1
        together.abort()
    assert len(opened) == 3
    assert [each.closed for each in opened] == [False, True, True], "the first is its caller's"
    assert source.closed and not of_this_test()


def test_what_a_worker_raises_comes_in_its_turn(pictures: Path) -> None:
    def fail(image: np.ndarray) -> None:
        if image.shape[1] == 64 + 20:
            raise BackendError("it broke")

    source = open_source(str(pictures / "pictures-0"))
    seen = []
    with pytest.raises(BackendError, match="it broke"):
        for frame, _ in run(Seeing(fail), source, [], None, several(4, lambda: Seeing(fail))):  # type: ignore[arg-type]
            seen.append(Path(frame.name).stem)
    assert seen == [f"{number:02}" for number in range(10) if number not in (2, 7)]
    assert not of_this_test()


def test_a_source_that_fails_ends_the_run() -> None:
    class Broken(Endless):
        def _video(self) -> Iterator[Frame]:
            yield Frame("first", noise(8, 8), 0)
            raise OSError("the cable is out")

    seen = []
    with pytest.raises(OSError, match="cable"):
        for frame, _ in run(Seeing(), Broken(), [], None, several(2)):  # type: ignore[arg-type]
            seen.append(frame.name)
    assert seen == ["first"] and not of_this_test()


def test_a_consumer_that_stops_ends_all_threads(pictures: Path) -> None:
    frames = open_source(str(pictures / "pictures-1"))
    with (
        pytest.raises(KeyboardInterrupt),
        closing(run(Seeing(), frames, [], None, several(4))) as results,  # type: ignore[arg-type]
    ):
        for _ in results:
            raise KeyboardInterrupt
    assert not of_this_test()


def test_the_number_of_workers_is_measured_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    said: list[str] = []
    waiting = lambda: Seeing(lambda image: time.sleep(0.02))  # noqa: E731
    workers = Workers(None, waiting, report=said.append)  # type: ignore[arg-type]
    with closing(run(waiting(), Endless(), [], 150, workers)) as results:  # type: ignore[arg-type]
        assert sum(1 for _ in results) == 150
    (line,) = said
    assert line.startswith("working on 2 at a time"), line


def test_a_real_network(photos: list[Path], tmp_path: Path) -> None:
    def found(workers: Workers | None) -> bytes:
        source, target = open_source(str(photos[0].parent / "2*.jpg")), tmp_path / "faces.json"
        with Detector.open() as detector, open_sinks(source, Wanted(json=str(target))) as sinks:
            assert sum(1 for _ in run(detector, source, sinks, None, workers)) == source.count
        return target.read_bytes()

    assert found(Workers(3, Detector.open)) == found(None)
