"""What `detect` says of several sources and of videos, and what it refuses before it begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import Cli, noise
from ultraface_deploy import models
from ultraface_deploy.safe.images import DEMO_PHOTO


@pytest.fixture
def model() -> Path:
    """The file that ships: nothing is converted for it."""
    return models.FOLDER / "slim-320.onnx"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """The photograph with one face for three pictures, then two pictures without."""
    photo = cv2.imread(str(DEMO_PHOTO))
    path = tmp_path / "clip.avi"
    size = photo.shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, size)
    for picture in (photo, photo, photo, np.zeros_like(photo), np.zeros_like(photo)):
        writer.write(picture)
    writer.release()
    return path


def test_without_a_source_the_shipped_photograph_is_looked_at(cli: Cli) -> None:
    done = cli("detect")
    assert done.code == 0, done.err
    assert "no SOURCE given" in done.err
    assert done.out == f"{DEMO_PHOTO}: 1 face\n"


def test_a_video_is_one_line_and_the_sum_is_said(cli: Cli, model: Path, clip: Path) -> None:
    done = cli("detect", clip, "--model", model)
    assert done.out == f"{clip}: 3 faces in 5 pictures, 0 to 1 in each\n"
    both = cli("detect", DEMO_PHOTO, clip, DEMO_PHOTO, "--model", model)
    assert both.out.splitlines() == [
        f"{DEMO_PHOTO}: 1 face",
        f"{clip}: 3 faces in 5 pictures, 0 to 1 in each",
        f"{DEMO_PHOTO}: 1 face",
        "5 faces in 7 pictures",
    ]


def test_several_sources_into_one_folder(cli: Cli, model: Path, clip: Path, tmp_path: Path) -> None:
    out, counts = tmp_path / "out", tmp_path / "counts.csv"
    done = cli(
        "detect", DEMO_PHOTO, clip, DEMO_PHOTO, "--model", model, "-o", out, "--count", counts
    )
    assert done.code == 0, done.err
    names = sorted(path.name for path in out.iterdir())
    assert names == ["astronaut-2.jpg", "astronaut.jpg", "clip.mp4"]
    capture = cv2.VideoCapture(str(out / "clip.mp4"))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 5
    assert len(counts.read_text().splitlines()) == 1 + 7


def test_one_source_of_several_that_is_none_is_refused_first(cli: Cli, tmp_path: Path) -> None:
    result = cli("detect", DEMO_PHOTO, "gone.jpg", "--model", "gone.onnx", "-o", tmp_path / "out")
    assert result.code == 2
    assert result.error.startswith("gone.jpg: no such image or video")
    assert not (tmp_path / "out").exists()


def test_no_labels(cli: Cli, model: Path, tmp_path: Path) -> None:
    pictures = []
    for name, options in (("with.png", ()), ("without.png", ("--no-labels",))):
        cli("detect", DEMO_PHOTO, "--model", model, "-o", tmp_path / name, *options)
        pictures.append(cv2.imread(str(tmp_path / name)))
    photo = cv2.imread(str(DEMO_PHOTO))
    changed = [(picture != photo).any(axis=2).sum() for picture in pictures]
    assert 0 < changed[1] < changed[0]


def test_a_model_that_is_none_comes_with_the_list(cli: Cli) -> None:
    result = cli("detect", DEMO_PHOTO, "--model", "slim")
    assert result.code == 2
    assert "no model named 'slim'; choose from slim-320, rfb-320" in result.error


def test_of_many_unreadable_pictures_the_first_are_shown_and_all_are_logged(
    cli: Cli, model: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), noise(64, 64))
    for number in range(50):
        (pictures / f"{number}.jpg").write_bytes(b"no picture")
    log = tmp_path / "log.txt"
    done = cli("--log-file", log, "detect", pictures, "--model", model)
    assert done.code == 1
    assert done.error == "50 of 51 pictures could not be read"
    assert done.err.count("skipped: ") == 6 and "skipped: 45 more" in done.err
    assert log.read_text().count("not an image") == 50


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "webm", "mov"])
def test_kinds_of_videos(cli: Cli, model: Path, clip: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"marked.{suffix}"
    done = cli("detect", clip, "--model", model, "-o", out)
    assert done.code == 0, done.err
    capture = cv2.VideoCapture(str(out))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "out.xyz"), "--output out.xyz: OpenCV cannot write .xyz here; give an .mp4"),
        (("-o", "out.jpg"), "--output out.jpg: a video or camera needs a video file"),
        (("--show",), "--show: there is no screen"),
        (("--json", "-", "--csv", "-"), "only one of --json, --jsonl, --csv"),
        (("--min-size", "9", "--max-size", "3"), "no face has such a size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_written_is_refused_before_a_network_is_loaded(
    cli: Cli,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.chdir(tmp_path)
    result = cli("detect", clip, "--model", "gone.onnx", *options)
    assert result.code == 2
    assert words in result.error
    assert list(tmp_path.iterdir()) == [clip]


def test_an_opencv_without_windows_is_named(
    cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise cv2.error("not implemented")

    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(cv2, "namedWindow", refuse)
    assert "this OpenCV has no windows" in cli("detect", DEMO_PHOTO, "--show").error


def test_a_camera_says_when_the_number_changes(
    cli: Cli, model: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _camera(cv2.VideoCapture, clip))
    done = cli("detect", "0", "--model", model, "--limit", "5")
    assert done.out.splitlines() == [
        "camera 0 #0: 1 face",
        "camera 0 #3: 0 faces",
        "camera 0: 3 faces in 5 pictures, 0 to 1 in each",
    ]


def _camera(opened: Callable[[str], cv2.VideoCapture], clip: Path) -> Callable[..., object]:
    return lambda source, *options: opened(str(clip))
