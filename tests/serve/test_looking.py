"""The timed detection gives what the detector gives."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import noise
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import BackendError
from ultraface_deploy.pipeline import Faces, PostprocessOptions
from ultraface_deploy.safe.images import embedded_images, read_image
from ultraface_deploy.serve.latest import Slot
from ultraface_deploy.serve.looking import Look, Looker, Seen, face_records
from ultraface_deploy.serve.source import Picture
from ultraface_deploy.serve.statistics import Statistics


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.open(options=PostprocessOptions(0.5))


def test_the_same_faces_as_the_detector(detector: Detector) -> None:
    """Those above a higher threshold are what is left of those above a lower one."""
    look, count = Look(detector.session), 0
    for image in embedded_images():
        wanted = detector.detect(image)
        for threshold in (0.5, 0.3):
            faces, stages = look(image, threshold)
            faces = faces[faces.scores > 0.5]
            np.testing.assert_array_equal(faces.boxes, wanted.boxes)
            np.testing.assert_array_equal(faces.scores, wanted.scores)
        assert set(stages) == {"preprocess", "network", "postprocess"}
        assert all(seconds > 0 for seconds in stages.values())
        count += len(wanted)
    assert count > 20


def test_photographs(detector: Detector, photos: list[Path]) -> None:
    look = Look(detector.session)
    for photo in photos[:6]:
        image = read_image(photo)
        faces, _ = look(image, 0.3)
        sure = faces[faces.scores > 0.5]
        assert face_records(sure) == face_records(detector.detect(image))


def test_the_text_of_a_picture() -> None:
    faces = Faces(
        np.array([[1.00049, 2, 3, 4], [5, 6, 7, 8]], np.float32),
        np.array([0.9, 0.4], np.float32),
        np.array([1, 1]),
    )
    seen = Seen(7, np.zeros((20, 30, 3), np.uint8), faces, 1764331400.12345)
    record = json.loads(seen.text(0.5))
    assert record == {
        "picture": 7,
        "unix_time": 1764331400.123,
        "width": 30,
        "height": 20,
        "faces": [{"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9, "label": 1}],
    }
    assert len(json.loads(seen.text(0.3))["faces"]) == 2
    assert seen.text(0.5) is seen.text(0.5)


def test_landmarks_are_rounded_too() -> None:
    points = np.full((1, 5, 2), 1.23456, np.float32)
    faces = Faces(
        np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.ones(1, np.int64), points
    )
    assert face_records(faces)[0]["landmarks"] == [[1.235, 1.235]] * 5


def test_a_network_that_fails_is_told_and_tried_again(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Seen] = []
    look = Look(detector.session)
    looker = Looker(look, Slot(), seen.append, Statistics(), 0.5)
    picture = Picture(noise(64, 48), 0.0, None)
    for error in (BackendError("out of memory"), MemoryError("out of memory")):
        with monkeypatch.context() as broken:
            broken.setattr(detector.session, "run", partial(_raise, error))
            looker.see(picture)
        assert looker.problem == "out of memory"
    looker.see(picture)
    assert looker.problem is None
    assert [each.number for each in seen] == [1]


def _raise(error: Exception, tensor: object) -> None:
    raise error


def test_not_more_pictures_a_second_than_asked_for(detector: Detector) -> None:
    """With a clock that stands still, each picture is followed by the whole pause."""
    slot: Slot[Picture] = Slot()
    seen: list[Seen] = []
    looker = Looker(
        Look(detector.session), slot, seen.append, Statistics(), 0.5, 4.0, clock=lambda: 0.0
    )
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        slot.put(Picture(noise(64, 48), 0.0, None))
        if len(pauses) == 3:
            slot.close()
        return False

    looker._stopping.wait = pause  # type: ignore[method-assign, assignment]
    slot.put(Picture(noise(64, 48), 0.0, None))
    looker.run()
    assert pauses == [0.25] * 3
