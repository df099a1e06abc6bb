"""Single files: whose they are, and on which runtimes they can be run and compared."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy import models
from ultraface_deploy.accuracy import find_subjects
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.single import SingleFile
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError

SHIPPED = models.FOLDER / "slim-320.onnx"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    return Path(shutil.copy(SHIPPED, tmp_path / "theirs.onnx"))


def test_every_installed_runtime_that_reads_it(foreign: Path) -> None:
    file = SingleFile.open(foreign)
    names = [each.name for each in file.readers]
    assert names[:2] == ["onnxruntime", "opencv"]
    assert file.others(get_backend("opencv")) == tuple(n for n in names if n != "opencv")
    assert file.of_folder is None
    folder = file.as_folder()
    assert folder.files(folder.artifacts[0]) == (foreign,)


def test_restricted_runtimes_are_still_compared_with_others(foreign: Path) -> None:
    file = SingleFile.open(foreign, ["opencv"], "fp16")
    assert [each.name for each in file.readers] == ["opencv"]
    assert "onnxruntime" in file.others(get_backend("opencv"))
    assert file.artifact.precision == "fp16"


def test_a_runtime_that_does_not_read_it_is_refused(foreign: Path) -> None:
    if not get_backend("native").available():
        pytest.skip("needs a C compiler")
    with pytest.raises(InputError, match="backend native reads c, not theirs"):
        SingleFile.open(foreign, ["native"])


def test_a_file_of_a_folder_has_an_original(tmp_path: Path) -> None:
    folder = convert(resolve_source(SHIPPED), ["onnx"], output=tmp_path / "made")
    file = SingleFile.open(folder.files(folder.artifacts[0])[0])
    assert file.of_folder is not None
    assert file.artifact == folder.artifacts[0]


@pytest.mark.parametrize(
    ("way", "precision"),
    [
        *(("static", "int8"), ("operators", "int8"), ("dynamic", "int8")),
        *(("half", "fp16"), ("half in nodes", "fp16")),
    ],
)
def test_how_a_foreign_file_is_stored_is_read_off_it(
    foreign: Path, way: str, precision: str
) -> None:
    """Judged as FP32, it would be told to differ from itself on another runtime."""
    onnx = pytest.importorskip("onnx", reason="reads ONNX files")
    from onnxruntime import quantization
    from onnxruntime.transformers.float16 import convert_float_to_float16

    class Noise(quantization.CalibrationDataReader):  # type: ignore[misc]
        left = 1

        def get_next(self) -> dict[str, np.ndarray] | None:
            self.left -= 1
            picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, 240, 320))
            return {"input": picture.astype(np.float32)} if self.left == 0 else None

    stored = foreign.with_name("stored.onnx")
    if way.startswith("half"):
        model = convert_float_to_float16(onnx.load(str(foreign)))
        if way == "half in nodes":
            for weights in model.graph.initializer:
                node = onnx.helper.make_node("Constant", [], [weights.name], value=weights)
                model.graph.node.insert(0, node)
            del model.graph.initializer[:]
        onnx.save(model, str(stored))
    elif way == "dynamic":
        # ONNX Runtime 1.17 has no convolution with signed weights of this kind.
        unsigned = quantization.QuantType.QUInt8
        quantization.quantize_dynamic(foreign, stored, weight_type=unsigned)
    else:
        format = "QDQ" if way == "static" else "QOperator"
        quantization.quantize_static(
            foreign, stored, Noise(), quant_format=quantization.QuantFormat[format]
        )
    assert SingleFile.open(stored).artifact.precision == precision
    assert SingleFile.open(foreign).artifact.precision == "fp32"
    with Detector.open(stored) as detector:
        assert detector.precision == precision
    (subject,) = find_subjects(stored, precisions=None)
    assert subject.precision == precision
    for ask in (Detector.open, partial(SingleFile.open, backends=None)):
        with pytest.raises(InputError, match=f"is stored in {precision}; leave out `precision`"):
            ask(stored, precision="w8")
