"""Other people's `.tflite`: layouts, types and numbers of the input, published files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ultraface_deploy.agreement.faces import SameFaces
from ultraface_deploy.backends import get_backend
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import BackendError, InputError, UltraFaceError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from ai_edge_litert import schema_py_generated as schema

from ultraface_deploy.converters.tflite import file as files

SPEC = ModelSpec("echo", "unknown", 64, 64)


def echo(
    tmp_path: Path, dtype: Any, numbers: files.Quantization | None, first: bool, colours: int = 3
) -> Path:
    """A file whose boxes begin with its input, in real numbers, as (colours, rows, columns)."""
    built = files.TfliteFile()
    shape = (1, colours, 64, 64) if first else (1, 64, 64, colours)
    given = built.tensor("data", shape, dtype, numbers)
    real = given
    if np.dtype(dtype) != np.float32:
        real = built.tensor("real", shape, np.float32)
        built.operator("DEQUANTIZE" if numbers else "CAST", [given], real, None, 2)
    flat = built.tensor("flat", (1, colours * 64 * 64 // 4, 4), np.float32)
    sides = built.constant("sides", np.array(flat.shape, np.int32))
    built.operator("RESHAPE", [real, sides], flat, {"table": "ReshapeOptions"})
    boxes = built.tensor("boxes", (1, SPEC.num_anchors, 4), np.float32)
    begin = built.constant("begin", np.zeros(3, np.int32))
    size = built.constant("size", np.array(boxes.shape, np.int32))
    built.operator("SLICE", [flat, begin, size], boxes, {"table": "SliceOptions"})
    half = built.constant("half", np.full((1, SPEC.num_anchors, 2), 0.5, np.float32))
    scores = built.tensor("scores", (1, SPEC.num_anchors, 2), np.float32)
    built.operator("SOFTMAX", [half], scores, {"table": "SoftmaxOptions", "beta": 1.0})
    path = tmp_path / "echo.tflite"
    path.write_bytes(built.content([given], [scores, boxes], "echo"))
    return path


@pytest.fixture(autouse=True)
def _bytes_without_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    types = {**files._TYPES, np.dtype(np.uint8): schema.TensorType.UINT8}
    monkeypatch.setattr(files, "_TYPES", types)


NORMAL = files.Quantization((1 / 128,), 127)
SIGNED = files.Quantization((1 / 128,), -1)
COARSE = files.Quantization((0.05,), 100)
BETWEEN = files.Quantization((0.004,), 100)
NARROW = files.Quantization((1 / 512,), 0)


@pytest.mark.parametrize("first", [False, True], ids=["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [
        (np.float32, None),
        (np.float16, None),
        (np.uint8, NORMAL),
        (np.int8, SIGNED),
        (np.uint8, COARSE),
        (np.uint8, BETWEEN),
        (np.int8, NARROW),
        (np.uint8, None),
    ],
)
def test_every_input_gets_the_training_normalisation(
    tmp_path: Path, dtype: Any, numbers: files.Quantization | None, first: bool
) -> None:
    path = echo(tmp_path, dtype, numbers, first)
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tensor = preprocess(photo, SPEC)
    found = get_backend("litert").load([path], SPEC).run(tensor)["boxes"].ravel()
    laid = tensor if first else tensor.transpose(0, 2, 3, 1)
    wanted = laid.ravel()[: found.size].astype(np.float64)
    if dtype == np.uint8 and numbers is None:  # bytes that mean nothing else are pixels
        wanted = wanted * 128 + 127
    elif numbers is not None:
        bounds = np.iinfo(dtype)
        steps = np.clip(np.rint(wanted / numbers.scales[0] + numbers.zero), bounds.min, bounds.max)
        wanted = (steps - numbers.zero) * numbers.scales[0]
    # A value midway between two steps may go to either.
    step = numbers.scales[0] if numbers else 0
    far = np.abs(found - wanted) > 1e-3
    assert far.mean() < 0.05
    assert np.abs(found - wanted).max() <= step + 1e-3


def test_bytes_without_numbers_are_pixels_whatever_the_mean_of_each_colour(tmp_path: Path) -> None:
    spec = replace(SPEC, mean=(104.0, 117.5, 123.0), std=(1.0, 1.0, 1.0), color="bgr")
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    session = get_backend("litert").load([echo(tmp_path, np.uint8, None, False)], spec)
    found = session.run(preprocess(photo, spec))["boxes"].ravel()
    np.testing.assert_array_equal(found, photo.ravel()[: found.size])


@pytest.mark.parametrize("first", [False, True], ids=["NHWC", "NCHW"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_gray_networks_get_one_channel(tmp_path: Path, dtype: Any, first: bool) -> None:
    spec = replace(SPEC, color="gray")
    path = echo(tmp_path, dtype, NORMAL if dtype == np.uint8 else None, first, colours=1)
    litert = get_backend("litert")
    assert litert.input_size([path]) == (64, 64)
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    tensor = preprocess(photo, spec)
    found = litert.load([path], spec).run(tensor)["boxes"].ravel()
    np.testing.assert_allclose(found, tensor.ravel()[: found.size], atol=1e-3)
    with pytest.raises(BackendError, match="does not fit 64x64 of rgb; check `input_size` and"):
        litert.load([path], SPEC)


def test_integers_that_are_no_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="its input is int32, not float or 8 bits"):
        get_backend("litert").load([echo(tmp_path, np.int32, None, False)], SPEC)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"hello, no model", "its mark is missing"), (b"TFL3", "its mark is missing")],
)
def test_what_is_no_such_file_is_named_so(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"a.tflite: not a TensorFlow Lite file.*{why}"):
        Detector.open(path)


def test_a_file_that_ends_early_says_what_to_do(tmp_path: Path) -> None:
    whole = echo(tmp_path, np.float32, None, False).read_bytes()
    path = tmp_path / "half.tflite"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UltraFaceError, match=r"half.tflite: .*damaged"):
        Detector.open(path)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    built = files.TfliteFile()
    inputs = [built.tensor(name, (1, 64, 64, 3), np.float32) for name in "ab"]
    total = built.tensor("sum", (1, 64, 64, 3), np.float32)
    built.operator("ADD", inputs, total, {"table": "AddOptions"})
    path = tmp_path / "two.tflite"
    path.write_bytes(built.content(inputs, [total], ""))
    with pytest.raises(BackendError, match="has 2 inputs"):
        get_backend("litert").load([path], SPEC)


@pytest.mark.parametrize("name", ["slim", "RFB"])
def test_published(shared: Path, photos: Sequence[Path], name: str) -> None:
    """They are other trainings of the networks: about as many faces, mostly the same ones."""
    file = shared / f"reference/tflite/version-{name}-320_without_postprocessing.tflite"
    ours = Detector.open(shared / f"reference/onnx/version-{name}-320_simplified.onnx")
    theirs = Detector.open(file)
    assert (theirs.spec.width, theirs.spec.height, theirs.spec.head) == (320, 240, "raw")
    same = SameFaces()
    for photo in photos:
        picture = cv2.imread(str(photo))
        same.add(ours.detect(picture), theirs.detect(picture))
    assert same.recall > 0.95
    assert same.f1 > 0.88


def test_nothing_is_written_to_standard_error(
    shared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = shared / "reference/tflite/version-slim-320_without_postprocessing.tflite"
    get_backend("litert").load([file], ModelSpec("slim-320", "slim"))
    assert capfd.readouterr().err == ""
