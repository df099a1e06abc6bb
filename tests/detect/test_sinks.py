"""Sources of pictures and what is written about them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import noise, noise_video
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.run import run
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.detect.sources import FrameSource
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.drawing import _COLOUR, draw_faces


class OneFace:
    """A detector that always sees the same face."""

    faces = Faces(
        np.array([[10, 20, 30, 44.5]], np.float32),
        np.array([0.75], np.float32),
        np.array([1], np.int64),
    )

    def detect(self, image: np.ndarray, reduction: object = None, pixel: float = 1.0) -> Faces:
        return self.faces


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), noise(64, 48, number))
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    noise_video(path, 6)
    return path


def write(
    frames: FrameSource,
    output: Path | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    limit: int | None = None,
) -> int:
    targets = [None if path is None else str(path) for path in (json, csv)]
    with open_sinks(frames, Wanted(output, *targets)) as sinks:
        return sum(1 for _ in run(OneFace(), frames, sinks, limit))  # type: ignore[arg-type]


def test_sources(pictures: Path, video: Path) -> None:
    assert open_source(str(pictures)).count == 3
    assert open_source(str(pictures / "1.png")).count == 1
    assert open_source(str(pictures / "[01].png")).count == 2
    assert open_source(str(pictures.parent / "**/*.png")).count == 3
    clip = open_source(str(video))
    assert (clip.kind, clip.count, clip.fps) == ("video", 6, 10)
    assert [frame.index for frame in clip] == list(range(6))
    assert [Path(frame.name).name for frame in open_source(str(pictures))] == [
        *("0.png", "1.png", "2.png"),
    ]


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.jpg").touch()
    for source, reason in (
        (tmp_path / "gone.jpg", "no such image or video"),
        (tmp_path / "empty.jpg", "is empty"),
        (tmp_path / "*.png", "matches no image"),
        (tmp_path / "text.mp4", "cannot be opened"),
        (tmp_path / "folder", "no such image or video"),
        ("97", "camera 97: cannot be opened"),
    ):
        with pytest.raises(InputError, match=reason):
            open_source(str(source))


def test_unreadable_pictures_are_skipped_and_remembered(pictures: Path) -> None:
    (pictures / "1.png").write_bytes(b"no image")
    source = open_source(str(pictures))
    assert [Path(frame.name).name for frame in source] == ["0.png", "2.png"]
    assert len(source.unreadable) == 1
    assert "1.png" in source.unreadable[0]


def test_json(pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "faces.json"
    write(open_source(str(pictures)), json=target)
    document = json.loads(target.read_text())
    assert document["schema"] == 1
    assert len(document["results"]) == 3
    first = document["results"][0]
    assert (first["file"], first["frame"]) == (str(pictures / "0.png"), None)
    assert first["time"] is None
    assert (first["width"], first["height"]) == (64, 48)
    assert first["faces"] == [{"box": [10, 20, 30, 44.5], "score": 0.75, "label": 1}]


def test_json_of_nothing(tmp_path: Path) -> None:
    target = tmp_path / "faces.json"
    write(FrameSource("images", [], count=0), json=target)
    assert json.loads(target.read_text()) == {"schema": 1, "results": []}


def test_csv(video: Path, tmp_path: Path) -> None:
    target = tmp_path / "faces.csv"
    write(open_source(str(video)), csv=target, limit=2)
    with target.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "frame", "x1", "y1", "x2", "y2", "score", "label", "time"]
    assert rows[1:] == [
        [str(video), str(k), "10.00", "20.00", "30.00", "44.50", "0.75000", "1", time]
        for k, time in ((0, "0.0"), (1, "0.1"))
    ]


def test_marked_pictures_in_a_folder(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep/marked"
    write(open_source(str(pictures)), out)
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "1.png", "2.png"]
    expected = draw_faces(noise(64, 48, 1), OneFace.faces)
    np.testing.assert_array_equal(cv2.imread(str(out / "1.png")), expected)


def test_one_marked_picture(pictures: Path, tmp_path: Path) -> None:
    write(open_source(str(pictures / "0.png")), tmp_path / "marked.png")
    assert cv2.imread(str(tmp_path / "marked.png")).shape == (48, 64, 3)


def test_pictures_of_one_name_from_two_folders(pictures: Path, tmp_path: Path) -> None:
    other = pictures.parent / "pictures2"
    other.mkdir()
    cv2.imwrite(str(other / "0.png"), noise(64, 48, 9))
    write(open_source(str(pictures.parent / "pictures*/0.png")), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0-2.png", "0.png"]


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_marked_video(video: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"marked.{suffix}"
    assert write(open_source(str(video)), out) == 6
    marked = open_source(str(out))
    assert sum(1 for _ in marked) == 6
    assert marked.fps == 10


def test_outputs_that_do_not_fit_their_source(pictures: Path, video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for source, output, reason in (
        (pictures, tmp_path / "out.jpg", "3 pictures need a folder"),
        (pictures, tmp_path / "out.xyz", "not a picture format"),
        (pictures, tmp_path / "file/out", "cannot create the folder"),
        (video, tmp_path / "out.jpg", "needs a video file"),
    ):
        with pytest.raises(InputError, match=reason):
            write(open_source(str(source)), output)
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize("kind", ["json", "csv", "video"])
def test_interrupted_run_leaves_nothing(video: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    target = out / f"x.{'avi' if kind == 'video' else kind}"
    target.write_bytes(b"old")

    class Stops:
        def detect(self, image: np.ndarray, reduction: object = None, pixel: float = 1.0) -> Faces:
            raise KeyboardInterrupt

    source = open_source(str(video))
    arguments: dict[str, tuple[Path | None, str | None, str | None]] = {
        "json": (None, str(target), None),
        "csv": (None, None, str(target)),
        "video": (target, None, None),
    }
    with (
        pytest.raises(KeyboardInterrupt),
        open_sinks(source, Wanted(*arguments[kind])) as sinks,
    ):
        list(run(Stops(), source, sinks))  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in out.iterdir()] == [target.name]


def test_frames_are_read_one_at_a_time(pictures: Path) -> None:
    """A detector sees the first picture before the second is opened."""
    seen: list[str] = []

    def images() -> Iterator[str]:
        for frame, _ in run(OneFace(), open_source(str(pictures)), []):  # type: ignore[arg-type]
            seen.append(Path(frame.name).name)
            yield frame.name

    stream = images()
    next(stream)
    (pictures / "1.png").unlink()
    next(stream)
    assert seen == ["0.png", "2.png"]


def test_drawing_leaves_the_picture_alone() -> None:
    image = noise(64, 48)
    before = image.copy()
    marked = draw_faces(image, OneFace.faces)
    np.testing.assert_array_equal(image, before)
    assert (marked[20, 10:31] == _COLOUR).all()
    np.testing.assert_array_equal(draw_faces(image, Faces()), image)


def test_drawing_beyond_the_border() -> None:
    faces = Faces(
        np.array([[-50, -50, 500, 500], [-9, 40, 3, 60]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([1, 1], np.int64),
    )
    assert draw_faces(noise(64, 48), faces).shape == (48, 64, 3)


@pytest.mark.parametrize("output", ["0.png", ".", "linked.png", "linked"])
def test_what_is_looked_at_is_not_replaced(pictures: Path, tmp_path: Path, output: str) -> None:
    (pictures / "linked.png").symlink_to(pictures / "0.png")
    (pictures / "linked").symlink_to(pictures)
    source = pictures / "0.png" if output.endswith(".png") else pictures
    before = (pictures / "0.png").read_bytes()
    with pytest.raises(InputError, match=r"would be replaced; give another"):
        write(open_source(str(source)), pictures / output)
    assert (pictures / "0.png").read_bytes() == before


def test_a_marked_video_beside_its_source(video: Path) -> None:
    write(open_source(str(video)), video.parent)
    assert open_source(str(video.with_suffix(".mp4"))).count == 6
