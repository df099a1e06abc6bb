"""A run that breaks off goes on: nothing twice, nothing lost, nothing of other settings."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import Cli, noise, noise_video
from ultraface_deploy.detect.detector import open_detector
from ultraface_deploy.detect.opening import open_sources
from ultraface_deploy.detect.run import Workers, run
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.detect.unfinished import settings_of
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.files import unfinished_name


class Dies(Exception):  # noqa: N818
    """What ends a run."""


class Seeing:
    """A detector whose faces depend on the picture, which dies before one that it is told."""

    def __init__(self, last: int | None = None) -> None:
        self.seen: list[int] = []
        self._last = last

    def detect(self, image: np.ndarray, reduction: object = None, pixel: float = 1.0) -> Faces:
        if self._last is not None and len(self.seen) >= self._last:
            raise Dies
        self.seen.append(int(image.astype(int).sum()))
        box = np.array([[0, 1, 2, 3 + int(image[0, 0, 0])]], np.float32)
        return Faces(box, np.array([0.5], np.float32), np.array([1]))

    def close(self) -> None:
        pass


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """A folder with an animation and what cannot be read, a video that breaks off, one twice."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), noise(32, 24, number))
    (folder / "2.png").write_bytes(b"no picture")
    if not hasattr(cv2, "imwriteanimation"):
        pytest.skip("this OpenCV writes no animations")
    animation = cv2.Animation()
    animation.frames = [noise(32, 24, number) for number in range(20, 25)]
    animation.durations = [40] * 5
    assert cv2.imwriteanimation(str(folder / "4-moving.png"), animation)
    video = tmp_path / "clip.avi"
    noise_video(video, 10)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 2 // 3])
    return [str(folder), str(video), str(folder / "7.png"), str(folder / "7.png")]


def go(
    sources: list[str],
    out: Path,
    last: int | None = None,
    workers: int = 1,
    limit: int | None = None,
    **settings: Any,
) -> tuple[list[int], list[str], str | None]:
    """Run to the end or to the picture before which the detector dies."""
    out.mkdir(exist_ok=True)
    frames, detector = open_sources(sources), Seeing(last)
    wanted = Wanted(
        jsonl=str(out / "f.jsonl"), csv=str(out / "f.csv"), json=str(out / "f.json"), resume=True
    )
    several = Workers(workers, lambda: detector)  # type: ignore[arg-type,return-value]
    try:
        with open_sinks(frames, wanted, {"threshold": 0.5, **settings}) as sinks:
            for _ in run(detector, frames, sinks, limit, several):  # type: ignore[arg-type]
                pass
    except Dies:
        pass
    return detector.seen, frames.unreadable, frames.stopped


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def ends(count: int) -> Iterator[list[int]]:
    """Where a run is ended: once anywhere, and several times in a row."""
    yield from ([last] for last in range(0, count, 3))
    yield [0, 3, 1, 0, 5]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_that_breaks_off_goes_on(sources: list[str], tmp_path: Path, workers: int) -> None:
    seen, unreadable, stopped = go(sources, tmp_path / "alone")
    wanted = contents(tmp_path / "alone")
    assert len(unreadable) == 1 and stopped is not None and len(seen) > 15
    assert set(wanted) == {"f.jsonl", "f.csv", "f.json"}
    for number, lasts in enumerate(ends(len(seen))):
        out, again = tmp_path / f"{number}", []
        for last in lasts:
            again += go(sources, out, last, workers)[0]
            assert set(contents(out)) == {".f.jsonl.unfinished"}
        more, *told = go(sources, out, None, workers)
        assert told == [unreadable, stopped]
        assert contents(out) == wanted, lasts
        if workers == 1:
            assert again + more == seen


def test_a_line_that_was_cut_off_is_done_again(sources: list[str], tmp_path: Path) -> None:
    go(sources, tmp_path / "alone")
    rows = tmp_path / "out" / unfinished_name("f.jsonl")
    go(sources, tmp_path / "out", 12)
    whole = rows.read_bytes()
    for end in (0, 5, 60, len(whole) - 150, *range(len(whole) - 9, len(whole))):
        for rest in (b"", bytes(64)):
            rows.write_bytes(whole[:end] + rest)
            go(sources, tmp_path / "out")
            assert contents(tmp_path / "out") == contents(tmp_path / "alone"), (end, rest)


@pytest.mark.parametrize(
    "line",
    [
        "[" * 200_000,
        "[]",
        '{"file": "a"}',
        '{"file": 5, "frame": null, "time": null, "width": 1, "height": 1, "faces": [],'
        ' "error": null, "damage": null}',
        *(
            '{"file": "a", "frame": null, "time": null, "width": 1, "height": 1, "error": null,'
            f' "damage": null, "faces": [{face}]}}'
            for face in ("5", "{}", '{"box": [0, 1, 2, 1e999], "score": 1, "label": 1}')
        ),
    ],
)
def test_a_line_that_no_run_has_written_is_done_again(
    sources: list[str], tmp_path: Path, line: str
) -> None:
    go(sources, tmp_path / "alone")
    rows = tmp_path / "out" / unfinished_name("f.jsonl")
    go(sources, tmp_path / "out", 5)
    begun = rows.read_bytes()
    for before in (begun, b""):
        rows.write_bytes(before + line.encode() + b"\n")
        if before or line.startswith("["):
            go(sources, tmp_path / "out")
            assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_a_link_is_not_followed(sources: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    (tmp_path / "out" / unfinished_name("f.jsonl")).symlink_to(other)
    with pytest.raises(InputError, match="cannot write"):
        go(sources, tmp_path / "out")
    assert other.read_bytes() == b"kept"


def test_a_folder_that_has_grown(sources: list[str], tmp_path: Path) -> None:
    go(sources[:1], tmp_path / "out", 6)
    folder = Path(sources[0])
    cv2.imwrite(str(folder / "0-new.png"), noise(32, 24, 99))
    (folder / "1.png").unlink()
    go(sources[:1], tmp_path / "out")
    lines = (tmp_path / "out/f.jsonl").read_text().splitlines()
    names = [Path(json.loads(line)["file"]).name for line in lines]
    assert sorted({*names}) == sorted({*(path.name for path in folder.iterdir()), "1.png"})
    assert len(names) == 9 + 5


@pytest.mark.parametrize("workers", [1, 3])
def test_a_limit_counts_what_is_there(sources: list[str], tmp_path: Path, workers: int) -> None:
    seen, *_ = go(sources, tmp_path / "alone", limit=9)
    assert len(seen) == 9
    for last in (2, 8):
        go(sources, tmp_path / f"{last}", last)
        go(sources, tmp_path / f"{last}", limit=9, workers=workers)
        assert contents(tmp_path / f"{last}") == contents(tmp_path / "alone")


def test_other_settings_are_refused(sources: list[str], tmp_path: Path) -> None:
    go(sources, tmp_path, 3)
    before = contents(tmp_path / "pictures"), (tmp_path / ".f.jsonl.unfinished").read_bytes()
    with pytest.raises(InputError, match=r"another threshold \(0.5, now 0.6\); give the same"):
        go(sources, tmp_path, threshold=0.6)
    with pytest.raises(InputError, match=r"another model \(null, now slim-320\)"):
        go(sources, tmp_path, model="slim-320")
    assert before == (
        contents(tmp_path / "pictures"),
        (tmp_path / ".f.jsonl.unfinished").read_bytes(),
    )


def test_two_at_once(sources: list[str], tmp_path: Path) -> None:
    go(sources, tmp_path, 3)
    with (tmp_path / ".f.jsonl.unfinished").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is writing it"):
            go(sources, tmp_path)


def test_another_run_ends_between_opening_and_locking(
    sources: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is appended to a file that is nowhere any more would be lost with this process."""
    path, honest, locked = tmp_path / ".f.jsonl.unfinished", fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not locked:
            path.unlink()
        locked.append(how)
        honest(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    go(sources, tmp_path, 3)
    assert len(locked) == 2
    assert len(path.read_bytes().splitlines()) > 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--resume goes on with files"),
        (("--jsonl", "-"), "--resume goes on with files"),
        (("--jsonl", "f.jsonl", "-o", "out"), "--resume: pictures (--output, --crop, --show)"),
    ],
)
def test_what_cannot_be_gone_on_with(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("detect", "--resume", *words)
    assert done.code == 2 and said in done.error
    assert not list(tmp_path.iterdir())


def test_a_stream_cannot(cli: Cli, tmp_path: Path) -> None:
    done = cli("detect", "rtsp://127.0.0.1:1/", "--resume", "--jsonl", tmp_path / "f.jsonl")
    assert done.code == 2 and "--resume: a stream cannot be gone on with" in done.error


def test_the_model_and_its_settings_count(cli: Cli, tmp_path: Path) -> None:
    """With the command itself: the rows of one network are not gone on with by another."""
    (tmp_path / "1.jpg").write_bytes(cv2.imencode(".jpg", noise(64, 48))[1].tobytes())
    out = tmp_path / "f.jsonl"
    words = ("detect", tmp_path, "--jsonl", out, "--resume")
    assert cli(*words).code == 0
    whole = out.read_text()
    # As a run leaves it that is killed before its result has its name.
    rows = tmp_path / unfinished_name(out)
    with open_detector() as detector:
        settings = settings_of(detector, [str(tmp_path)], full_decode=False)
    first = json.dumps({"unfinished": 1, "settings": settings})
    for changed, name in (
        (("--threshold", "0.9"), "threshold"),
        (("--model", "rfb-320"), "model"),
        (("--iou", "0.5"), "NMS"),
        (("--full-decode",), "decoding"),
        (("--clip",), "view"),
    ):
        rows.write_text(f"{first}\n{whole}")
        refused = cli(*words, *changed)
        assert refused.code == 2 and f"begun with another {name} (" in refused.error
        assert cli(*words).code == 0 and out.read_text() == whole and not rows.exists()
