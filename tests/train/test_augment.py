"""Augmentation: boxes follow their pixels, and faces count as they should."""

from __future__ import annotations

import numpy as np
import pytest

from ultraface_deploy.train.augment import (
    Augmentation,
    Colours,
    Window,
    choose_window,
    visible_faces,
)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rectangle", [(0, 0, 100, 80), (20, 10, 50, 40), (-50, -20, 200, 160)])
def test_boxes_go_where_their_pixels_go(
    rectangle: tuple[float, float, float, float], mirrored: bool
) -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    image[30:50, 40:60] = 255  # a white square: corners 40 30 60 50
    window = Window(*rectangle, mirrored)
    warped = window.warp(image, 320, 240)
    ((x1, y1, x2, y2),) = window.place(np.float32([[40, 30, 60, 50]])) * [320, 240, 320, 240]
    rows, columns = np.nonzero((warped > 127).all(axis=2))
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found, [x1, y1, x2, y2], atol=1.01)


def test_the_whole_image_as_window_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    np.testing.assert_array_equal(Window(0, 0, 320, 240).warp(image, 320, 240), image)
    mirrored = Window(0, 0, 320, 240, True).warp(image, 320, 240)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])


def test_hand_worked_window() -> None:
    # The window from (20, 10), 40 wide and 20 high; the face 30 15 40 25 lies at a quarter.
    face = np.float32([[30, 15, 40, 25]])
    np.testing.assert_allclose(Window(20, 10, 40, 20).place(face), [[0.25, 0.25, 0.5, 0.75]])
    np.testing.assert_allclose(Window(20, 10, 40, 20, True).place(face), [[0.5, 0.25, 0.75, 0.75]])


def test_which_faces_count() -> None:
    placed = np.float32(
        [
            [0.2, 0.2, 0.4, 0.4],  # inside
            [-0.1, 0.2, 0.2, 0.4],  # centre inside: counts, clipped
            [-0.2, 0.2, 0.1, 0.4],  # centre outside: seen in part, ignored
            [1.1, 0.2, 1.3, 0.4],  # outside: gone
            [0.5, 0.5, 0.51, 0.52],  # 3.2 x 4.8 pixels: too small, ignored
        ]
    )
    boxes, ignored = visible_faces(placed, np.zeros(5, bool), (320, 240), min_face=7)
    np.testing.assert_allclose(boxes[1], [0, 0.2, 0.2, 0.4])
    assert len(boxes) == 4 and ignored.tolist() == [False, False, True, True]


@pytest.mark.parametrize("kind", ["whole", "crop", "aimed", "expand"])
def test_every_kind_of_window_shows_some_of_the_image(kind: str) -> None:
    shares = dict.fromkeys(("whole", "crop", "aimed", "expand"), 0.0) | {kind: 1.0}
    plan = Augmentation(**shares)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    faces = np.float32([[300, 100, 340, 150], [10, 10, 20, 22]])
    for _ in range(200):
        window = choose_window((640, 480), faces, (320, 240), plan, rng)
        across = min(640, window.x + window.width) - max(0, window.x)
        down = min(480, window.y + window.height) - max(0, window.y)
        assert across > 40 and down > 30
        if kind == "aimed":
            placed = window.place(faces)
            centers = (placed[:, :2] + placed[:, 2:]) / 2
            assert ((centers > 0) & (centers < 1)).all(axis=1).any()


def test_colours_change_no_shape_and_neutral_ones_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    np.testing.assert_array_equal(Colours().apply(image), image)
    rng = np.random.default_rng(1)
    for _ in range(20):
        changed = Colours.draw(1.0, rng).apply(image)
        assert changed.shape == image.shape and changed.dtype == np.uint8
    assert Colours.draw(0.0, rng) == Colours()
