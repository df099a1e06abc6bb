"""Faces as people use them: as a list, filtered, cut out, drawn, handed on."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import pytest

from ultraface_deploy import Detector, InputError, MissingDependency
from ultraface_deploy.pipeline import Face, Faces, PostprocessOptions
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

FACES = Faces(
    np.array([[10, 20, 30, 60], [0, 0, 8, 8], [90, 40, 120, 52]], np.float32),
    np.array([0.9, 0.8, 0.7], np.float32),
    np.array([1, 2, 1]),
)


def test_is_a_list_of_faces() -> None:
    assert len(FACES) == 3
    assert FACES[0] == Face((10, 20, 30, 60), pytest.approx(0.9), 1)
    assert FACES[-1].label == 1
    assert [face.width for face in FACES] == [20, 8, 30]
    with pytest.raises(IndexError):
        FACES[3]


@pytest.mark.parametrize("method", [Detector.detect, Faces.draw, Faces.crop])
def test_a_typed_program_gives_what_opencv_read(method: Callable[..., object]) -> None:
    """Its stubs say numbers of any kind, which is more than uint8."""
    assert signature(method).parameters["image"].annotation == "npt.NDArray[Any]"


def test_equal_where_all_numbers_and_names_are() -> None:
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    assert FACES[:] == FACES and Faces() == Faces() and FACES in [Faces(), FACES[:]]
    assert replace(FACES, landmarks=points) == replace(FACES, landmarks=points.copy())
    for other in (
        FACES[:2],
        FACES[[1, 0, 2]],
        replace(FACES, boxes=FACES.boxes + 1),
        replace(FACES, scores=FACES.scores / 2),
        replace(FACES, labels=FACES.labels + 1),
        replace(FACES, class_names=("face",)),
        replace(FACES, landmarks=points),
        list(FACES),
    ):
        assert other != FACES
    with pytest.raises(TypeError, match="unhashable"):
        hash(FACES)


def test_a_slice_or_a_mask_gives_faces() -> None:
    np.testing.assert_array_equal(FACES[1:].boxes, FACES.boxes[1:])
    np.testing.assert_array_equal(FACES[FACES.labels == 1].scores, FACES.scores[[0, 2]])


@pytest.mark.parametrize(
    ("criteria", "kept"),
    [
        ({}, [0, 1, 2]),
        ({"min_score": 0.75}, [0, 1]),
        ({"min_size": 12}, [0, 2]),
        ({"min_size": 12.5}, [0]),
        ({"inside": (0, 0, 50, 50)}, [0, 1]),
        ({"inside": (0, 0, 20, 50)}, [1]),  # the centre of the first lies on the border
        ({"min_score": 0.95}, []),
    ],
)
def test_filter(criteria: dict[str, Any], kept: list[int]) -> None:
    np.testing.assert_array_equal(FACES.filter(**criteria).boxes, FACES.boxes[kept])
    assert len(Faces().filter(**criteria)) == 0


def test_a_reversed_region_is_refused() -> None:
    with pytest.raises(InputError, match="x2 > x1"):
        FACES.filter(inside=(50, 0, 10, 50))


def test_crops_belong_to_their_faces_and_end_at_the_border() -> None:
    image = np.arange(100 * 100 * 3, dtype=np.uint32).reshape(100, 100, 3).astype(np.uint8)
    crops = FACES.crop(image)
    np.testing.assert_array_equal(crops[0], image[20:60, 10:30])
    assert [crop.shape[:2] for crop in crops] == [(40, 20), (8, 8), (12, 10)]
    assert FACES.crop(image, margin=0.5)[0].shape == (80, 40, 3)
    crops[0][:] = 0
    assert image[20:60, 10:30].any()


def test_a_face_outside_the_image_keeps_its_place() -> None:
    outside = Faces(np.array([[-20, -20, -5, -5]], np.float32), np.ones(1, np.float32), np.ones(1))
    assert outside.crop(np.zeros((10, 10, 3), np.uint8))[0].size == 0


def test_to_dict_is_what_json_holds() -> None:
    assert FACES.to_dict()["faces"][1] == {
        "box": [0, 0, 8, 8],
        "score": pytest.approx(0.8),
        "label": 2,
    }


@pytest.mark.parametrize("package", ["supervision", "pandas"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependency, match=f"pip install {package}"):
        getattr(FACES, f"to_{package}")()


def test_pandas_frame() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = FACES.to_pandas()
    assert list(frame.columns) == ["x1", "y1", "x2", "y2", "score", "label"]
    assert frame.y2.tolist() == [60, 8, 52]


def test_supervision_detections() -> None:
    pytest.importorskip("supervision", reason="supervision is not installed")
    detections = FACES.to_supervision()
    np.testing.assert_array_equal(detections.xyxy, FACES.boxes)
    assert detections.class_id.tolist() == [0, 1, 0]


def test_the_threshold_is_the_models_unless_somebody_says_otherwise() -> None:
    from dataclasses import replace

    detector = Detector.open("slim-320")
    photo = read_image(DEMO_PHOTO)
    everything = detector.detect(photo)
    assert everything.scores.min() > detector.spec.score_threshold
    detector.session.spec = replace(detector.spec, score_threshold=1.0)
    assert len(detector.detect(photo)) < len(everything)
    detector.options = PostprocessOptions(score_threshold=0.5)
    assert len(detector.detect(photo)) == len(everything)
