"""Videos of pixels that are not square: what is looked at, and the shape of what is written."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.detect.test_sinks import OneFace, write
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.detect.frames import Frame
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.detect.run import run
from ultraface_deploy.detect.shape import pixel_aspect, squared
from ultraface_deploy.detect.sinks import Wanted, open_sinks
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
from ultraface_deploy.serve.latest import Slot
from ultraface_deploy.serve.source import Feed, Picture

WIDE, HIGH = 180, 144
PAL = (64, 45)  # 16:9 in 5:4
NOBODY = Faces()


def disc(pixel: float) -> np.ndarray:
    """A disc that is round when pixels are so many times as wide as high."""
    y, x = np.mgrid[:HIGH, :WIDE]
    inside = ((x - WIDE / 2) * pixel) ** 2 + (y - HIGH / 2) ** 2 < 50**2
    return np.where(inside[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)


def sides(picture: np.ndarray) -> tuple[int, int]:
    """Width and height of what is bright."""
    rows, columns = np.nonzero(picture[..., 0] > 128)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def first(path: Path) -> np.ndarray:
    read, picture = cv2.VideoCapture(str(path)).read()
    assert read
    return picture


def video(path: Path, pixel: tuple[int, int], turned: bool = False) -> Path:
    """An MP4 with a round disc, whose header says how wide pixels are, and how it is turned.

    Format: ISO/IEC 14496-12, boxes `pasp` (12.1.4) in the sample entry, `tkhd` (8.3.2).
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (WIDE, HIGH))
    for _ in range(3):
        writer.write(disc(pixel[0] / pixel[1] if all(pixel) else 1))
    writer.release()
    content = bytearray(path.read_bytes())
    entry = content.index(b"mp4v", content.index(b"stsd")) - 4
    end = entry + int.from_bytes(content[entry : entry + 4], "big")
    box = (16).to_bytes(4, "big") + b"pasp" + b"".join(n.to_bytes(4, "big") for n in pixel)
    content[end:end] = box
    for kind in (b"mp4v", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = content.index(kind, entry if kind == b"mp4v" else content.index(b"moov")) - 4
        size = int.from_bytes(content[at : at + 4], "big") + len(box)
        content[at : at + 4] = size.to_bytes(4, "big")
    if turned:
        at = content.index(b"tkhd") + 44
        one, less = 1 << 16, -(1 << 16)
        matrix = (0, one, 0, less, 0, 0, 0, 0, 1 << 30)
        content[at : at + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in matrix)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pixel", [(16, 15), PAL, (8, 9)])
def test_a_marked_video_keeps_its_shape(tmp_path: Path, pixel: tuple[int, int]) -> None:
    path = video(tmp_path / "a.mp4", pixel)
    assert first(path).shape == (HIGH, WIDE, 3)
    source, rows = open_source(str(path)), tmp_path / "a.json"
    with open_sinks(source, Wanted(tmp_path / "marked.mp4", json=str(rows))) as sinks:
        for frame in source:
            for sink in sinks:
                sink.write(frame, sink.prepare(frame, NOBODY))
    marked = first(tmp_path / "marked.mp4")
    across, down = sides(marked)
    # Written by OpenCV, whose videos say nothing of pixels: they are square.
    assert across == pytest.approx(down, abs=3)
    # No row or column of pixels is lost, and results count those that are stored.
    assert marked.shape[0] >= HIGH and marked.shape[1] >= WIDE
    assert marked.shape[1] / marked.shape[0] == pytest.approx(
        WIDE * pixel[0] / pixel[1] / HIGH, rel=0.02
    )
    row = json.loads(rows.read_text())["results"][0]
    assert (row["width"], row["height"]) == (WIDE, HIGH)


def test_a_turned_video(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", PAL, turned=True)
    assert first(path).shape == (WIDE, HIGH, 3)
    write(open_source(str(path)), tmp_path / "marked.mp4")
    marked = first(tmp_path / "marked.mp4")
    assert marked.shape == (256, HIGH, 3)
    across, down = sides(marked)
    assert across == pytest.approx(down, abs=3)


@pytest.mark.parametrize("pixel", [(1, 1), (0, 1), (0, 0), (1280, 1281), (1, 60000), (60000, 1)])
def test_what_is_square_or_cannot_be_is_left_alone(tmp_path: Path, pixel: tuple[int, int]) -> None:
    path = video(tmp_path / "a.mp4", pixel)
    assert pixel_aspect(cv2.VideoCapture(str(path))) == 1
    assert [frame.pixel for frame in open_source(str(path))] == [1, 1, 1]


def test_a_square_picture_is_not_touched() -> None:
    picture = disc(1)
    assert squared(picture, 1.0) is picture
    assert squared(np.zeros((3, 1, 3), np.uint8), 1.5).shape == (3, 2, 3)


def test_faces_are_cut_out_and_shown_in_their_shape(tmp_path: Path) -> None:
    source = open_source(str(video(tmp_path / "a.mp4", PAL)))
    with open_sinks(source, Wanted(crops=tmp_path / "faces", margin=0)) as sinks:
        for _ in run(OneFace(), source, sinks, limit=1):  # type: ignore[arg-type]
            pass
    (crop,) = (tmp_path / "faces").iterdir()
    high, wide = cv2.imread(str(crop)).shape[:2]
    # The face is 20 x 24.5 stored pixels.
    assert wide / high == pytest.approx(20 * 64 / 45 / 24.5, rel=0.06)


def test_the_live_view_shows_the_shape(tmp_path: Path) -> None:
    slot: Slot[Picture] = Slot()
    feed = Feed(open_source(str(video(tmp_path / "a.mp4", PAL))), slot)
    feed.start()
    picture = slot.take().image
    feed.close()
    across, down = sides(picture)
    assert across == pytest.approx(down, abs=3)


def test_a_face_is_looked_at_in_its_shape() -> None:
    photo = read_image(DEMO_PHOTO)
    high, wide = photo.shape[:2]
    stored = cv2.resize(photo, (round(wide * 45 / 64), high), interpolation=cv2.INTER_AREA)
    with Detector.open(view=View(keep_aspect=True)) as detector:
        (wanted,) = detector.detect(photo)
        (found,) = detector.detect(stored, pixel=64 / 45)
        (squeezed,) = detector.detect(stored)
    shown = [value * (64 / 45 if at % 2 == 0 else 1) for at, value in enumerate(found.box)]
    assert shown == pytest.approx(wanted.box, abs=2)
    assert found.score == pytest.approx(wanted.score, abs=0.001)
    other = [value * (64 / 45 if at % 2 == 0 else 1) for at, value in enumerate(squeezed.box)]
    assert other != pytest.approx(wanted.box, abs=2)


def test_the_detector_hears_of_it(tmp_path: Path) -> None:
    class Listening(OneFace):
        heard: list[float]

        def detect(self, image: np.ndarray, reduction: object = None, pixel: float = 1.0) -> Faces:
            self.heard.append(pixel)
            return self.faces

    detector = Listening()
    detector.heard = []
    source = open_source(str(video(tmp_path / "a.mp4", PAL)))
    frames = [frame for frame, _ in run(detector, source, [])]  # type: ignore[arg-type]
    assert detector.heard == pytest.approx([64 / 45] * 3) and isinstance(frames[0], Frame)
