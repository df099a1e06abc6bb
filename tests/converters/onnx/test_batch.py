"""Networks that take several inputs at once: made, read, and giving each picture its own faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy import models
from ultraface_deploy.artifacts.batches import parse_batch
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters.onnx.batch import set_batch
from ultraface_deploy.converters.onnx.header import input_batch
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.safe.images import DEMO_PHOTO, Image, read_image

onnx = pytest.importorskip("onnx", reason="writes ONNX files")
SHIPPED = models.FOLDER / "slim-320.onnx"


def pictures() -> list[Image]:
    photo = read_image(DEMO_PHOTO)
    empty = np.full_like(photo, 90)
    return [photo, empty, np.ascontiguousarray(photo[:, ::-1]), photo[: len(photo) // 2], photo]


def assert_same(found: list[Faces], wanted: list[Faces]) -> None:
    assert [len(faces) for faces in found] == [len(faces) for faces in wanted]
    assert len(found[0]) > 0 == len(found[1])
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.01)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)


@pytest.mark.parametrize("batch", [None, 3])
def test_several_at_once_are_as_each_alone(tmp_path: Path, batch: int | None) -> None:
    folder = convert(resolve_source(SHIPPED), ["onnxsim"], output=tmp_path / "out", batch=batch)
    for artifact in folder.artifacts:
        assert input_batch(folder.files(artifact)[0]) == (batch or 0)
    with Detector.open(folder.path, "onnxruntime") as detector, Detector.open(SHIPPED) as single:
        assert detector.session.batch == batch
        wanted = [single.detect(picture) for picture in pictures()]
        assert_same(detector.detect_batch(pictures()), wanted)
        assert_same(detector.detect_batch(pictures(), size=2), wanted)
        assert_same([detector.detect(picture) for picture in pictures()], wanted)


def test_a_network_of_single_inputs_is_run_once_for_each(tmp_path: Path) -> None:
    with Detector.open(SHIPPED, view=View(tiles=(2, 2), min_size=20)) as detector:
        wanted = [detector.detect(picture) for picture in pictures()]
        assert_same(detector.detect_batch(pictures()), wanted)
        assert detector.detect_batch([]) == []
        with pytest.raises(InputError, match="at least one"):
            detector.detect_batch(pictures(), size=0)


def test_other_peoples_files_of_a_fixed_number_are_filled_up(tmp_path: Path) -> None:
    file = tmp_path / "four.onnx"
    model = onnx.load(str(SHIPPED))
    del model.metadata_props[:]
    onnx.save(model, str(file))
    set_batch(file, 4)
    with Detector.open(file, "onnxruntime") as detector, Detector.open(SHIPPED) as single:
        assert detector.session.batch == 4
        wanted = [single.detect(picture) for picture in pictures()]
        assert_same([detector.detect(picture) for picture in pictures()], wanted)
        assert_same(detector.detect_batch(pictures()), wanted)
    # Everything else is made from one that takes a single input.
    folder = convert(resolve_source(file), ["onnxsim"], output=tmp_path / "out")
    assert input_batch(folder.files(folder.find("onnxsim"))[0]) == 1


def test_what_follows_a_file_of_any_number_is_made_as_ever(tmp_path: Path) -> None:
    if not get_backend("mnn").available():
        pytest.skip("needs MNN")
    folder = convert(resolve_source(SHIPPED), ["onnx"], output=tmp_path / "out", batch=None)
    again = convert(resolve_source(folder.path), ["mnn"], output=folder.path)
    assert again.find("mnn").verified


def test_what_is_no_number_or_no_onnx_is_refused_before_work(tmp_path: Path) -> None:
    for text in ("0", "-1", "many", "9999", "1.5"):
        with pytest.raises(InputError, match="`batch`"):
            parse_batch(text)
    assert (parse_batch("8"), parse_batch("dynamic")) == (8, None)
    with pytest.raises(InputError, match="ONNX files alone"):
        convert(resolve_source(SHIPPED), ["mnn"], output=tmp_path / "out", batch=None)
    assert not (tmp_path / "out").exists()
