"""The generated code that needs no runtime, compiled alone: its truths are OpenCV and pipeline/."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sdk.native import require, run
from ultraface_deploy.artifacts.folder import ArtifactFolder, Source, describe_files
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import (
    Faces,
    NmsKind,
    PostprocessOptions,
    make_anchors,
    postprocess,
    preprocess,
)
from ultraface_deploy.pipeline.view import letterbox, network_input
from ultraface_deploy.sdk import write_project
from ultraface_deploy.sdk.bindings.python import ultraface
from ultraface_deploy.sdk.conformance import YUV, decode, upright
from ultraface_deploy.sdk.library import FORMATS, c_options, faces_of, image_of

SPECS = {
    "slim": ModelSpec("slim", "slim"),
    # Neither side is a multiple of a stride, three classes, corners instead of offsets.
    "masks": ModelSpec("masks", "rfb", width=200, height=136, num_classes=3, head="decoded"),
    "other-norm": ModelSpec(
        "other-norm", "slim", width=96, height=64, mean=(104.0, 117.0, 123.0), std=(57.0,) * 3
    ),
    "bgr": ModelSpec("bgr", "slim", width=128, height=96, mean=(103.5, 117.0, 123.0), color="bgr"),
    "infrared": ModelSpec("infrared", "rfb", width=96, height=128, color="gray"),
}

HOT = 150
"""Anchors with a score, in made-up outputs."""


@dataclass(frozen=True)
class Probe:
    """The compiled code of one network."""

    spec: ModelSpec
    library: ctypes.CDLL

    def resample(
        self, pixels: npt.NDArray[np.uint8], *how: Any, keep_aspect: bool = False
    ) -> npt.NDArray[np.float32]:
        """`how` is what `image_of` takes: format, rotation, mirrored, region."""
        return self.resample_image(image_of(pixels, *how), keep_aspect)

    def resample_image(self, image: Any, keep_aspect: bool = False) -> npt.NDArray[np.float32]:
        out = np.full(self.spec.input_shape, np.nan, np.float32)
        self.library.probe_resample(
            ctypes.byref(image), int(keep_aspect), ctypes.c_void_p(out.ctypes.data)
        )
        return out

    def find_faces(
        self,
        scores: npt.NDArray[np.float32],
        boxes: npt.NDArray[np.float32],
        size: tuple[int, int],
        options: PostprocessOptions,
    ) -> Faces:
        records = (ultraface._Face * (self.spec.num_anchors * self.spec.num_classes))()
        threshold = {"score_threshold": self.spec.score_threshold}
        asked = ultraface._Options(**(threshold | c_options(options)))
        count = self.library.probe_find_faces(
            ctypes.c_void_p(scores.ctypes.data),
            ctypes.c_void_p(boxes.ctypes.data),
            *size,
            ctypes.byref(asked),
            records,
        )
        return faces_of(records[:count])


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Probe]:
    """Compile the code of a spec by its name, once."""
    require("g++")

    @cache
    def compiled(name: str) -> Probe:
        return compile_probe(SPECS[name], tmp_path_factory.mktemp(name))

    return compiled


@pytest.fixture(params=SPECS, scope="session")
def probe(request: Any, probes: Callable[[str], Probe]) -> Probe:
    return probes(request.param)


@pytest.fixture(scope="session")
def slim(probes: Callable[[str], Probe]) -> Probe:
    return probes("slim")


def compile_probe(spec: ModelSpec, folder: Path) -> Probe:
    """Generate a project around files that no runtime could read, and compile what needs none."""
    made = [folder / name for name in ("made.param", "made.bin")]
    for path in made:
        path.write_bytes(b"no model")
    names = [f"{spec.name}.ncnn.param", f"{spec.name}.ncnn.bin"]
    record = describe_files("ncnn", "fp32", dict(zip(names, made, strict=True)))
    # Only files that passed are taken without a look at what is in them.
    record = replace(record, verification={"passed": True})
    artifacts = ArtifactFolder(folder / "artifacts", spec, Source("made.pth", "0"))
    project = folder / "sdk"
    write_project(artifacts.publish(record, made, {}), project)
    library = folder / "probe.so"
    run(
        ["g++", "-std=c++17", "-O3", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fPIC"]
        # Else the networks' constants, one symbol in several libraries, become one at run time.
        + [
            "-fvisibility=hidden",
            "-shared",
            "-o",
            str(library),
            str(Path(__file__).parent / "probe.cpp"),
        ]
        + [f"-I{project / sub}" for sub in ("include", "src", "demo")]
        + [str(project / "src" / name) for name in ("layout.cpp", "resample.cpp")]
        + [str(project / "demo" / "camera.cpp")]
    )
    return Probe(spec, ctypes.CDLL(str(library)))


def noise(height: int, width: int, channels: int, seed: int) -> npt.NDArray[np.uint8]:
    """Noise from black to white: rounding errors have nowhere to hide."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def cameras(draw: st.DrawFn) -> tuple[npt.NDArray[np.uint8], str, int, bool, tuple[int, ...]]:
    """Pixels of any format with gaps between rows, and what is to be done with them."""
    format = draw(st.sampled_from(sorted(FORMATS)))
    width, height = 2 * draw(st.integers(1, 200)), 2 * draw(st.integers(1, 200))
    rotation, mirrored = draw(st.sampled_from((0, 90, 180, 270))), draw(st.booleans())
    upright_size = (height, width) if rotation % 180 else (width, height)
    x, y = (draw(st.integers(0, side - 1)) for side in upright_size)
    region = (
        *(x, y),
        draw(st.integers(1, upright_size[0] - x)),
        draw(st.integers(1, upright_size[1] - y)),
    )
    channels = {"bgr": 3, "rgb": 3, "bgra": 4, "rgba": 4}.get(format, 1)
    rows = height * 3 // 2 if format in YUV else height
    # OpenCV reads I420 without gaps alone; another test has planes apart.
    gap = 0 if format == "i420" else draw(st.integers(0, 9))
    pixels = noise(rows, width + gap, channels, draw(seeds))[:, :width]
    return pixels, format, rotation, mirrored, region


sides = st.integers(1, 700)
even_sides = st.integers(1, 300).map(lambda half: 2 * half)
seeds = st.integers(0, 2**32 - 1)


class TestResample:
    @settings(max_examples=60, deadline=None)
    @given(width=sides, height=sides, seed=seeds)
    def test_any_size_gives_the_bits_of_opencv(
        self, probe: Probe, width: int, height: int, seed: int
    ) -> None:
        bgr = noise(height, width, 3, seed)
        assert_same_tensor(probe.resample(bgr), preprocess(bgr, probe.spec), probe.spec)

    @settings(max_examples=40, deadline=None)
    @given(width=sides, height=sides, seed=seeds)
    def test_keeping_the_aspect_ratio_gives_the_bits_of_the_pipeline(
        self, probe: Probe, width: int, height: int, seed: int
    ) -> None:
        bgr, spec = noise(height, width, 3, seed), probe.spec
        canvas, _ = letterbox(bgr, spec.width, spec.height, spec)
        actual = probe.resample(bgr, keep_aspect=True)
        assert_same_tensor(actual, preprocess(canvas, spec), spec)

    @pytest.mark.parametrize("factor", [1, 2, 3, 4])
    def test_sizes_that_opencv_treats_specially(self, probe: Probe, factor: int) -> None:
        bgr = noise(probe.spec.height * factor, probe.spec.width * factor, 3, factor)
        assert_same_tensor(probe.resample(bgr), preprocess(bgr, probe.spec), probe.spec)

    @settings(max_examples=20, deadline=None)
    @given(width=sides, height=sides, gap=st.integers(0, 50), seed=seeds)
    def test_stride_and_channel_order(
        self, slim: Probe, width: int, height: int, gap: int, seed: int
    ) -> None:
        rgb = noise(height, width + gap, 3, seed)[:, :width]
        expected = preprocess(np.ascontiguousarray(rgb[..., ::-1]), slim.spec)
        np.testing.assert_array_equal(slim.resample(rgb, "rgb"), expected)

    @settings(max_examples=20, deadline=None)
    @given(width=sides, height=sides, gap=st.integers(0, 50), seed=seeds)
    def test_gray(self, slim: Probe, width: int, height: int, gap: int, seed: int) -> None:
        gray = noise(height, width + gap, 1, seed)[:, :width]
        expected = preprocess(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), slim.spec)
        np.testing.assert_array_equal(slim.resample(gray, "gray"), expected)

    @settings(max_examples=40, deadline=None)
    @given(width=even_sides, height=even_sides, seed=seeds)
    def test_nv21(self, slim: Probe, width: int, height: int, seed: int) -> None:
        nv21 = noise(height * 3 // 2, width, 1, seed)
        expected = preprocess(cv2.cvtColor(nv21, cv2.COLOR_YUV2BGR_NV21), slim.spec)
        np.testing.assert_array_equal(slim.resample(nv21, "nv21"), expected)

    @settings(max_examples=60, deadline=None)
    @given(camera=cameras(), keep_aspect=st.booleans())
    def test_turned_mirrored_cut_out(self, probe: Probe, camera: Any, keep_aspect: bool) -> None:
        pixels, format, *how = camera
        rotation, mirrored, (x, y, width, height) = how
        bgr = upright(decode(np.ascontiguousarray(pixels), format), rotation, mirrored)
        bgr = np.ascontiguousarray(bgr[y : y + height, x : x + width])
        expected, _ = network_input(bgr, probe.spec, keep_aspect)
        actual = probe.resample(pixels, format, *how, keep_aspect=keep_aspect)
        assert_same_tensor(actual, expected, probe.spec)

    @settings(max_examples=30, deadline=None)
    @given(format=st.sampled_from(YUV), half=st.integers(1, 150), gap=st.integers(0, 9), seed=seeds)
    def test_chroma_apart(self, slim: Probe, format: str, half: int, gap: int, seed: int) -> None:
        height, width = 48, 2 * half
        together = noise(height * 3 // 2, width, 1, seed)
        image = image_of(np.ascontiguousarray(together), format, 90)
        luma = np.ascontiguousarray(together[:height])
        columns = half if format == "i420" else width
        samples = together[height:].reshape(-1, height // 2, columns)
        planes = [np.pad(plane, [(0, 0), (0, gap)]) for plane in samples]
        image.pixels, image.bytes, image.stride = luma.ctypes.data, luma.nbytes, 0
        image.chroma_stride = columns + gap
        for index, plane in enumerate(planes):
            image.chroma[index], image.chroma_bytes[index] = plane.ctypes.data, plane.nbytes
        np.testing.assert_array_equal(
            slim.resample_image(image), slim.resample(together, format, 90)
        )

    def test_photographs(self, slim: Probe, shared: Path) -> None:
        for path in sorted((shared / "images").glob("*.jpg")):
            bgr = cv2.imread(str(path))
            assert bgr is not None
            np.testing.assert_array_equal(slim.resample(bgr), preprocess(bgr, slim.spec))


def assert_same_tensor(
    actual: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], spec: ModelSpec
) -> None:
    """Compare bits where dividing by `std` is exact, else to a rounding of the last place."""
    if spec.std[0] == 128.0:
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=3e-7, atol=1e-7)


class TestFaces:
    def test_anchors(self, probe: Probe) -> None:
        actual = np.empty((probe.spec.num_anchors, 4), np.float32)
        for index, row in enumerate(actual):
            probe.library.probe_anchor(index, ctypes.c_void_p(row.ctypes.data))
        np.testing.assert_array_equal(actual, make_anchors(probe.spec))

    @pytest.mark.parametrize("kind", ["hard", "soft", "blend"])
    @settings(max_examples=40, deadline=None)
    @given(
        threshold=st.integers(1, 500).map(lambda step: step / 512),
        iou=st.floats(0.0, 1.0, width=32),
        candidates=st.integers(1, 300),
        top_k=st.none() | st.integers(1, 50),
        seed=seeds,
    )
    def test_any_outputs_give_the_faces_of_the_pipeline(
        self,
        probe: Probe,
        kind: NmsKind,
        threshold: float,
        iou: float,
        candidates: int,
        top_k: int | None,
        seed: int,
    ) -> None:
        scores, boxes = random_outputs(probe.spec, seed)
        options = PostprocessOptions(threshold, iou, kind, candidates, top_k)
        expected = postprocess(scores, boxes, probe.spec, (1024, 609), options)
        actual = probe.find_faces(scores, boxes, (1024, 609), options)
        assert len(actual) == len(expected)
        np.testing.assert_array_equal(actual.labels, expected.labels)
        np.testing.assert_allclose(actual.scores, expected.scores, atol=2e-6)
        np.testing.assert_allclose(actual.boxes, expected.boxes, rtol=1e-5, atol=1e-2)

    def test_boxes_that_are_no_numbers_are_dropped(self, probe: Probe) -> None:
        scores, boxes = random_outputs(probe.spec, seed=1)
        for value, start in ((np.inf, 0), (np.nan, 1), (3e38, 2)):
            boxes[0, start::5, start] = value
        with np.errstate(over="ignore", invalid="ignore"):
            expected = postprocess(scores, boxes, probe.spec, (1024, 609))
        actual = probe.find_faces(scores, boxes, (1024, 609), PostprocessOptions())
        assert len(actual) == len(expected) > 0
        assert np.isfinite(actual.boxes).all()
        np.testing.assert_allclose(actual.boxes, expected.boxes, rtol=1e-5, atol=1e-2)

    def test_nothing_above_the_threshold(self, slim: Probe) -> None:
        scores = np.zeros((1, slim.spec.num_anchors, 2), np.float32)
        boxes = np.zeros((1, slim.spec.num_anchors, 4), np.float32)
        assert len(slim.find_faces(scores, boxes, (640, 480), PostprocessOptions())) == 0


def random_outputs(
    spec: ModelSpec, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Outputs with overlapping faces; some scores of a class are equal."""
    random = np.random.default_rng(seed)
    scores = np.zeros((1, spec.num_anchors, spec.num_classes), np.float32)
    hot = random.choice(spec.num_anchors, HOT, replace=False)
    for label in range(1, spec.num_classes):
        scores[0, hot, label] = random.choice(512, HOT) / 512
    boxes = random.normal(0, 0.5, (1, spec.num_anchors, 4)).astype(np.float32)
    if spec.head == "decoded":
        anchors = make_anchors(spec)
        half = anchors[:, 2:] / 2
        corners = np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)
        boxes = (corners[None] + boxes * 0.02).astype(np.float32)
    return scores, boxes


def test_camera_frames_become_nv21(slim: Probe) -> None:
    height, width, gap = 6, 8, 4
    yuyv = noise(height, 2 * width + gap, 1, seed=0)
    nv21 = np.zeros((height * 3 // 2, width), np.uint8)
    slim.library.probe_yuyv_to_nv21(
        ctypes.c_void_p(yuyv.ctypes.data),
        width,
        height,
        yuyv.strides[0],
        ctypes.c_void_p(nv21.ctypes.data),
    )
    rows = yuyv[:, : 2 * width].astype(int)
    np.testing.assert_array_equal(nv21[:height], rows[:, ::2])
    for plane, at in (("v", 3), ("u", 1)):
        mean = (rows[::2, at::4] + rows[1::2, at::4] + 1) // 2
        np.testing.assert_array_equal(nv21[height:, 0 if plane == "v" else 1 :: 2], mean)
