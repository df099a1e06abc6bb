"""From a picture to faces: the resize beside OpenCV's, the formats, the arguments."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.converters.c.conftest import SETS, Bytes, Case, Library
from ultraface_deploy.pipeline import PostprocessOptions, postprocess
from ultraface_deploy.pipeline.view import letterbox

BGR, RGB, GRAY, RGB565 = range(4)


@pytest.fixture(scope="module")
def library(open_library: Callable[..., Library]) -> Library:
    return open_library("slim-320")


def random_picture(width: int, height: int, seed: int, channels: int = 3) -> Bytes:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("kernels", ["portable", ""])
@given(st.integers(1, 700), st.integers(1, 500), st.integers(0, 9))
def test_the_resize_is_opencvs_within_two_levels(
    library: Library, kernels: str, width: int, height: int, seed: int
) -> None:
    picture = random_picture(width, height, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTRAFACE_KERNELS", kernels)
        found = library.resized(picture).astype(int)
    wanted = cv2.resize(picture, found.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - wanted.astype(int)).max() <= 2


@given(
    st.integers(1, 400) | st.integers(1200, 2000),
    st.integers(1, 120),
    st.integers(0, 9),
    st.booleans(),
)
def test_kernels_resize_as_plain_c_does(
    library: Library, width: int, height: int, seed: int, keep_aspect: bool
) -> None:
    picture = random_picture(width, height, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTRAFACE_KERNELS", "portable")
        plain = library.resized(picture, keep_aspect=keep_aspect)
        for kernels in SETS:
            patch.setenv("ULTRAFACE_KERNELS", kernels)
            if library.kernels == kernels:
                found = library.resized(picture, keep_aspect=keep_aspect)
                np.testing.assert_array_equal(found, plain, err_msg=kernels)


@pytest.mark.parametrize("size", [(128, 96), (30, 200), (400, 31), (1, 300), (640, 480), (7, 7)])
def test_keeping_the_aspect_ratio_pads_as_the_pipeline_does(
    library: Library, make_case: Callable[..., Case], size: tuple[int, int]
) -> None:
    spec, picture = make_case("slim-320").spec, random_picture(*size, seed=4)
    canvas, _ = letterbox(picture, spec.width, spec.height, spec)
    found = library.resized(picture, keep_aspect=True).astype(int)
    assert np.abs(found - canvas.astype(int)).max() <= 2


@pytest.mark.parametrize(
    ("offset", "is_box"),
    [(0.0, True), (-3.0, True), (40.0, True), (450.0, False), (np.inf, False), (np.nan, False)],
)
def test_offsets_that_are_no_numbers_make_no_box(
    open_library: Callable[..., Library], offset: float, is_box: bool
) -> None:
    library = open_library("slim-320", "fp32")
    assert library.makes_a_box([0.0, 0.0, 0.0, offset]) is is_box


def test_other_formats_read_the_same_pixels(library: Library) -> None:
    picture = random_picture(90, 70, 0)
    wanted = library.resized(picture)
    np.testing.assert_array_equal(
        library.resized(np.ascontiguousarray(picture[..., ::-1]), RGB), wanted
    )
    gray = random_picture(90, 70, 1, channels=1)
    wanted = library.resized(np.repeat(gray[..., None], 3, axis=2))
    np.testing.assert_array_equal(library.resized(gray, GRAY), wanted)
    # 5, 6 and 5 bits, the high ones repeated below.
    words = np.random.default_rng(2).integers(0, 1 << 16, (70, 90), dtype=np.uint16)
    red, green, blue = words >> 11, words >> 5 & 63, words & 31
    wide = [blue << 3 | blue >> 2, green << 2 | green >> 4, red << 3 | red >> 2]
    wanted = library.resized(np.stack(wide, axis=2).astype(np.uint8))
    as_bytes = words.astype("<u2").view(np.uint8).reshape(70, 90, 2)
    np.testing.assert_array_equal(library.resized(np.ascontiguousarray(as_bytes), RGB565), wanted)


def test_rows_may_lie_apart(library: Library) -> None:
    picture = random_picture(120, 80, 3)
    apart = np.zeros((80, 150, 3), np.uint8)
    apart[:, :120] = picture
    np.testing.assert_array_equal(library.resized(apart[:, :120]), library.resized(picture))


@pytest.mark.parametrize("threshold", [0.5, 0.05])
def test_faces_are_those_of_the_pipeline(
    threshold: float,
    make_case: Callable[..., Case],
    open_library: Callable[..., Library],
) -> None:
    case, library = make_case("slim-320", (320, 240)), open_library("slim-320", "int8", (320, 240))
    picture = np.asarray(cv2.imread(str(ROOT / "ultraface_deploy/photos/astronaut.jpg")), np.uint8)
    height, width = picture.shape[:2]
    outputs = library.run(library.resized(picture))
    options = PostprocessOptions(score_threshold=threshold)
    wanted = postprocess(outputs["scores"], outputs["boxes"], case.spec, (width, height), options)
    found = library.detect(picture, threshold=threshold)
    assert len(wanted) > 0
    np.testing.assert_allclose(found[:, :4], wanted.boxes, atol=0.05)
    np.testing.assert_allclose(found[:, 4], wanted.scores, atol=1e-6)


def test_faces_of_a_padded_picture_lie_where_they_are(
    make_case: Callable[..., Case], open_library: Callable[..., Library]
) -> None:
    case, library = make_case("slim-320", (320, 240)), open_library("slim-320", "int8", (320, 240))
    picture = np.asarray(cv2.imread(str(ROOT / "ultraface_deploy/photos/astronaut.jpg")), np.uint8)
    tall = np.concatenate([picture, np.full_like(picture, 90), np.full_like(picture, 90)])
    canvas, extent = letterbox(tall, case.spec.width, case.spec.height, case.spec)
    outputs = library.run(canvas)
    wanted = postprocess(outputs["scores"], outputs["boxes"], case.spec, extent)
    found = library.detect(tall, keep_aspect=True)
    assert len(found) == len(wanted) > 0
    # The resize of C is up to two levels from OpenCV's.
    np.testing.assert_allclose(found[:, :4], wanted.boxes, atol=1.0)


def test_no_more_faces_than_there_is_room_for(library: Library) -> None:
    picture = random_picture(128, 96, 5)
    every = library.detect(picture, threshold=0.01)
    assert len(every) > 3
    np.testing.assert_array_equal(library.detect(picture, threshold=0.01, capacity=3), every[:3])
    assert len(library.detect(picture, threshold=0.01, capacity=0)) == 0


@pytest.mark.parametrize(
    ("width", "height", "stride", "format", "threshold", "status"),
    [
        (0, 8, 24, BGR, 0.5, -1),
        (8, 0, 24, BGR, 0.5, -1),
        (8, -8, 24, BGR, 0.5, -1),
        (40_000, 8, 120_000, BGR, 0.5, -1),
        (8, 8, 23, BGR, 0.5, -1),
        (8, 8, 24, 7, 0.5, -1),
        (8, 8, 24, BGR, -0.1, -3),
        (8, 8, 24, BGR, float("nan"), -3),
    ],
)
def test_wrong_arguments_give_an_error_code(
    library: Library,
    width: int,
    height: int,
    stride: int,
    format: int,
    threshold: float,
    status: int,
) -> None:
    pixels = ctypes.c_void_p(np.zeros(200, np.uint8).ctypes.data)
    detect = library._calls.harness_detect
    least = ctypes.c_float(threshold)
    assert detect(pixels, width, height, stride, format, least, 0, 1, None, 0) == status
    assert detect(None, 8, 8, 24, BGR, ctypes.c_float(0.5), 0, 1, None, 0) == -1
    assert detect(pixels, 8, 8, 24, BGR, ctypes.c_float(0.5), 0, 1, None, 5) == -3
