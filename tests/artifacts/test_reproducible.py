"""Same input, versions and options: the same bytes, in every format and precision.

INT8 of the other formats: tests/quantize/test_quantizer.py; the package for the browser:
tests/sdk/test_web.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Convert
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.converters import Conversion, format_names, get_format
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.quantize.int8 import Int8, Int8Job
from ultraface_deploy.quantize.plan import Scheme, make_plan
from ultraface_deploy.quantize.quantizer import fitting_table

for package in ("onnx", "onnxsim", "MNN", "ncnn"):
    pytest.importorskip(package, reason="the converters are not all installed")


def digests(folder: Path) -> dict[str, str]:
    made = convert(resolve_source("slim-320", (64, 64)), ["all"], output=folder)
    return {name: value for each in made.artifacts for name, value in each.sha256.items()}


def test_two_conversions_write_the_same_bytes(tmp_path: Path) -> None:
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert len(first) >= 6 and first == second


@pytest.mark.parametrize(
    ("format", "precision"),
    [
        # Core ML's compiler takes seconds; in halves it comes by on the way to 8 bits.
        pytest.param(
            name,
            precision,
            marks=[pytest.mark.long] if (name, precision) == ("coreml", "fp16") else [],
        )
        for name in format_names()
        for precision in get_format(name).precisions
        if precision not in ("fp32", "int8")
    ],
)
def test_other_precisions(converted: Convert, tmp_path: Path, format: str, precision: str) -> None:
    record = get_format(format)
    if (missing := record.missing()) is not None:
        pytest.skip(missing)
    folder = converted(models.FOLDER / "slim-320.pth", "onnxsim", size=(64, 64))
    written = []
    for run in ("a", "b"):
        outputs = tuple(tmp_path / run / f"net{suffix}" for suffix in record.suffixes)
        for output in outputs:
            output.parent.mkdir(parents=True, exist_ok=True)
        sources = folder.files(folder.find(str(record.source_for(precision))))
        record.convert(Conversion(sources, folder.spec, precision, outputs))
        written.append([path.read_bytes() for path in outputs])
    assert written[0] == written[1] and all(written[0])


def test_c_in_int8(converted: Convert, tmp_path: Path) -> None:
    folder = converted(models.FOLDER / "slim-320.pth", "onnxsim")
    sim = folder.files(folder.find("onnxsim"))
    int8 = get_format("c").way("int8")
    assert isinstance(int8, Int8)
    written = []
    for run in ("a", "b"):
        network, _ = load_network(sim[0])
        table = fitting_table(network, models.calibration_tables())
        assert table is not None
        job = Int8Job(folder.spec, network, {"onnxsim": sim})
        (tmp_path / run).mkdir()
        made = int8.emit(make_plan(network, table, Scheme()), job, tmp_path / run)
        written.append([path.read_bytes() for path in made])
    assert written[0] == written[1] and all(written[0])
