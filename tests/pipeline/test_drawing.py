"""Boxes that can be seen, scores that hide nobody."""

from __future__ import annotations

import numpy as np
import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.drawing import draw_faces

GRAY = np.full((300, 400, 3), 128, np.uint8)


def faces(*boxes: tuple[int, int, int, int]) -> Faces:
    count = len(boxes)
    return Faces(
        np.array(boxes, np.float32).reshape(-1, 4), np.full(count, 0.9, np.float32), np.ones(count)
    )


def changed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first != second).any(axis=2)


def test_the_image_itself_is_left_alone() -> None:
    image = GRAY.copy()
    assert changed(draw_faces(image, faces((50, 50, 100, 120))), GRAY).any()
    assert not changed(image, GRAY).any()


def test_whatever_faces_are_found_in_can_be_drawn_in() -> None:
    found = faces((50, 50, 150, 150))
    wanted = draw_faces(GRAY, found)
    for image in (
        GRAY[..., 0],
        GRAY[..., :1],
        GRAY.astype(np.uint16) * 257,
        np.dstack([GRAY, np.zeros(GRAY.shape[:2], np.uint8)]),
        np.asfortranarray(GRAY)[::-1],
    ):
        assert not changed(draw_faces(image, found), wanted).any()
    for wrong in (None, GRAY.astype(int), GRAY[:0]):
        with pytest.raises(InputError, match="image"):
            draw_faces(wrong, found)  # type: ignore[arg-type]


def test_without_labels_only_boxes_are_drawn() -> None:
    drawn = changed(draw_faces(GRAY, faces((50, 50, 150, 150)), labels=False), GRAY)
    assert not drawn[:45].any() and not drawn[155:].any()
    assert not drawn[56:145, 56:145].any()


def test_a_score_never_covers_another_face() -> None:
    """Two rows of faces as in a group photograph: between them there is no room."""
    rows = [(x, y, x + 30, y + 30) for y in (40, 72) for x in range(20, 380, 32)]
    found = faces(*rows)
    added = changed(draw_faces(GRAY, found), draw_faces(GRAY, found, labels=False))
    for left, top, right, bottom in rows:
        assert not added[top + 3 : bottom - 2, left + 3 : right - 2].any()


def test_a_face_with_room_above_has_its_score_there() -> None:
    found = faces((100, 100, 160, 180))
    added = changed(draw_faces(GRAY, found), draw_faces(GRAY, found, labels=False))
    assert added[80:100].any() and not added[102:].any()


def test_the_box_differs_from_its_ground_in_gray_too() -> None:
    """Who does not tell colours apart still sees a bright line with a dark rim."""
    for ground in (0, 128, 255):
        image = np.full((100, 100, 3), ground, np.uint8)
        drawn = draw_faces(image, faces((20, 20, 80, 80)), labels=False)
        luminance = drawn @ np.array([0.114, 0.587, 0.299])
        assert np.abs(luminance - ground).max() > 60


def test_boxes_that_are_none_are_drawn_as_far_as_there_is_a_picture() -> None:
    """What a network gives that has learnt little: OpenCV takes 32-bit integers alone."""
    found = faces((-3_000_000_000, 50, 100, 120), (10, 10, 20, 3_000_000_000))
    found.boxes[0, 3], found.boxes[1, 0] = np.inf, np.nan
    assert changed(draw_faces(GRAY, found), GRAY).any()
