"""Parts of a picture, and which of its faces stay: geometry against hand-worked cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions
from ultraface_deploy.pipeline.hiding import hide_faces
from ultraface_deploy.pipeline.view import (
    View,
    automatic_tiles,
    letterbox,
    merge,
    parse_roi,
    parse_tiles,
)

SPEC = ModelSpec("net", "slim")


def faces(*boxes: tuple[float, ...], scores: tuple[float, ...] | None = None) -> Faces:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    values = np.array(scores or np.linspace(0.9, 0.8, len(rows)), np.float32)
    return Faces(rows, values, np.ones(len(rows), np.int64))


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(0, 0.8),
)
def test_tiles_cover_the_picture_and_stay_inside(
    width: int, height: int, rows: int, columns: int, overlap: float
) -> None:
    parts = View(tiles=(rows, columns), overlap=overlap).parts(width, height, SPEC)
    assert parts[0] == (0, 0, width, height)
    assert len(parts) == (1 if rows * columns == 1 else rows * columns + 1)
    covered = np.zeros((height, width), bool)
    for x, y, wide, high in parts[1:] or parts:
        assert 0 <= x < x + wide <= width and 0 <= y < y + high <= height
        covered[y : y + high, x : x + wide] = True
    assert covered.all()


def test_tiles_overlap_by_the_share_asked_for() -> None:
    _, first, second = View(tiles=(1, 2), overlap=0.5).parts(300, 100, SPEC)
    assert (first, second) == ((0, 0, 200, 100), (100, 0, 200, 100))


def test_automatic_tiles_shrink_nothing_below_half() -> None:
    assert automatic_tiles(320, 240, SPEC) == (1, 1)
    assert automatic_tiles(640, 480, SPEC) == (1, 1)
    assert automatic_tiles(641, 481, SPEC) == (2, 2)
    rows, columns = automatic_tiles(100_000, 100_000, SPEC)
    assert 100 < rows * columns <= 256


def test_a_face_that_a_border_cuts_is_reported_once_and_whole() -> None:
    parts = [(0, 0, 300, 100), (0, 0, 200, 100), (100, 0, 200, 100)]
    # Whole in the left tile; in the right one only its right half is there, with a higher score.
    found = [faces(), faces((80, 20, 140, 80), scores=(0.7,)), faces((0, 20, 40, 80))]
    merged = merge(found, parts, PostprocessOptions(), 0.5)
    np.testing.assert_array_equal(merged.boxes, [[80, 20, 140, 80]])


def test_faces_at_the_picture_s_own_border_are_no_parts() -> None:
    parts = [(0, 0, 300, 100), (0, 0, 200, 100), (100, 0, 200, 100)]
    found = [faces(), faces((0, 20, 40, 80)), faces((160, 10, 200, 60))]
    merged = merge(found, parts, PostprocessOptions(), 0.5)
    assert sorted(merged.boxes.tolist()) == [[0, 20, 40, 80], [260, 10, 300, 60]]


def test_what_several_parts_find_is_suppressed_like_any_other() -> None:
    parts = [(0, 0, 300, 100), (0, 0, 200, 100), (100, 0, 200, 100)]
    box = (120, 20, 160, 70)
    found = [faces(box), faces(box), faces((20, 20, 60, 70))]
    assert merge(found, parts, PostprocessOptions(), 0.5).boxes.tolist() == [list(box)]


def test_merging_nothing_gives_nothing() -> None:
    parts = [(0, 0, 9, 9), (0, 0, 5, 9), (4, 0, 5, 9)]
    assert len(merge([faces()] * 3, parts, PostprocessOptions(), 0.5)) == 0


def test_landmarks_move_and_survive_merging() -> None:
    points = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    one = Faces(np.float32([[10, 10, 50, 50]]), np.float32([0.9]), np.int64([1]), points)
    none = one[np.zeros(1, bool)]
    parts = [(0, 0, 300, 100), (0, 0, 200, 100), (100, 0, 200, 100)]
    merged = merge([none, none, one], parts, PostprocessOptions(), 0.5)
    assert merged.landmarks is not None
    np.testing.assert_array_equal(merged.landmarks[0], points[0] + [100, 0])


def test_sizes_and_clipping() -> None:
    found = faces((-10, -10, 30, 30), (5, 5, 9, 40), (0, 0, 90, 90))
    assert View(min_size=5).keep(found, 80, 80).boxes.tolist() == [
        [-10, -10, 30, 30],
        [0, 0, 90, 90],
    ]
    assert View(max_size=41).keep(found, 80, 80).boxes.tolist() == [
        [-10, -10, 30, 30],
        [5, 5, 9, 40],
    ]
    clipped = View(clip=True, min_size=31).keep(found, 80, 80)
    assert clipped.boxes.tolist() == [[0, 0, 80, 80]]


def test_a_region_must_lie_in_the_picture() -> None:
    assert View(roi=(10, 20, 30, 40)).parts(40, 60, SPEC) == [(10, 20, 30, 40)]
    with pytest.raises(InputError, match="`roi` 10,20,30,40: reaches out of the picture of 39x60"):
        View(roi=(10, 20, 30, 40)).parts(39, 60, SPEC)


@pytest.mark.parametrize("text", ["", "2", "0x2", "2x-1", "axb", "99x99", "auto2", "2x3x4", "²x2"])
def test_tiles_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match="`tiles`"):
        parse_tiles(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "0,0,0,5", "-1,0,5,5", "a,b,c,d", "1,2,3,4,5"])
def test_regions_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match="`roi`"):
        parse_roi(text)


@pytest.mark.parametrize(
    "options", [{"min_size": 5, "max_size": 4}, {"min_size": -1}, {"overlap": 0.95}]
)
def test_views_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        View(**options)  # type: ignore[arg-type]


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_letterbox_keeps_the_aspect_and_gives_pixels_back(width: int, height: int) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    canvas, extent = letterbox(image, 320, 240, SPEC)
    assert canvas.shape == (240, 320, 3)
    inner = (canvas != 127).any(axis=2)
    rows, columns = inner.any(axis=1).sum(), inner.any(axis=0).sum()
    assert rows == 240 or columns == 320
    # A box over all of the picture on the canvas comes back as the picture.
    np.testing.assert_allclose([columns / 320 * extent[0], rows / 240 * extent[1]], [width, height])


@pytest.mark.parametrize("how", ["blur", "pixelate"])
def test_a_hidden_face_cannot_be_told_from_another(how: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (200, 200, 3), np.uint8)
    found = faces((50, 50, 150, 150), (-20, -20, 20, 20), (500, 500, 600, 600))
    hidden = hide_faces(image, found, how)  # type: ignore[arg-type]
    inside = hidden[50:150, 50:150].astype(float)
    # What is left varies as little as the mean of a cell of noise does.
    assert inside.std() < 8 < image[50:150, 50:150].std()
    np.testing.assert_array_equal(hidden[170:, 170:], image[170:, 170:])
    assert not (hidden == image)[:20, :20].all()


@pytest.mark.parametrize("tiles", [(0, 0), (-1, -1), (1000, 1000), (2,), (2.0, 2), "2x2", 3])
def test_tiles_of_a_program_that_make_no_sense(tiles: Any) -> None:
    with pytest.raises(InputError, match=r"`tiles` .*: give auto, or rows and columns of 1 to 256"):
        View(tiles=tiles)


@pytest.mark.parametrize("roi", [(0, 0, 5), (0.0, 0.0, 5.0, 5.0), (-1, 0, 5, 5), "0,0,5,5"])
def test_regions_of_a_program_that_make_no_sense(roi: Any) -> None:
    with pytest.raises(InputError, match=r"`roi` .*: give x,y,width,height"):
        View(roi=roi)
