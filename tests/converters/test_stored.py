"""How other people's files are stored is read off them: published ones, makers' tools', our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Convert
from tests.quantize.conftest import SIZE, Case
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.converters import format_and_files, get_format
from ultraface_deploy.errors import InputError
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Scheme, make_plan


def stored(file: Path) -> Precision:
    record, files = format_and_files(file)
    return record.stored_precision(files)


def test_published_files(shared: Path) -> None:
    suffixes = {".mnn", ".param", ".tflite", ".onnx"}
    files = [f for f in (shared / "reference").rglob("*") if f.suffix in suffixes]
    # The authors named their INT8 files so.
    wanted = {file: "int8" if "quant" in file.name else "fp32" for file in files}
    assert set(wanted.values()) == {"int8", "fp32"}
    assert {file: stored(file) for file in files} == wanted


@pytest.mark.parametrize(
    ("format", "precision"),
    [
        *(("mnn", each) for each in ("fp32", "fp16", "w8")),
        *((name, each) for name in ("ncnn", "tflite", "openvino") for each in ("fp32", "fp16")),
    ],
)
def test_as_makers_tools_store(
    converted: Convert, checkpoints: Path, format: str, precision: Precision
) -> None:
    """MNN's converter, pnnx and OpenVINO write these, each after its own ways; TFLite we do."""
    if get_format(format).missing():
        pytest.skip(f"{format} is not installed")
    checkpoint = checkpoints / "version-slim-320.pth"
    folder = converted(checkpoint, format, size=SIZE, precision=precision)
    assert stored(folder.files(folder.find(format, precision))[0]) == precision


@pytest.mark.parametrize("format", ["onnx", "mnn", "ncnn", "tflite", "openvino", "c"])
def test_int8(slim: Case, tmp_path: Path, format: str) -> None:
    record = get_format(format)
    if record.missing():
        pytest.skip(f"{format} is not installed")
    assert record.int8 is not None
    files = {name: slim.files(name) for name in ("onnxsim", "ncnn")}
    job = Int8Job(slim.spec, slim.network, files, (), "")
    network, table = slim.network, slim.table
    if record.int8.rewrite is not None:
        network, table = record.int8.rewrite(job, table)
    plan = make_plan(network, table, Scheme())
    assert record.stored_precision(record.int8.emit(plan, job, tmp_path)) == "int8"


def test_weights_of_openvino_in_8_bits(tmp_path: Path) -> None:
    """As `nncf.compress_weights` leaves them: integers, made floats when they are used."""
    openvino = pytest.importorskip("openvino", reason="writes its own format")
    from openvino import opset13 as ops

    given = ops.parameter([1, 3, 8, 8], np.float32)
    weights = ops.constant(np.ones((4, 3, 1, 1), np.int8))
    scaled = ops.multiply(ops.convert(weights, "f32"), ops.constant(np.float32(0.1)))
    made = ops.convolution(given, scaled, [1, 1], [0, 0], [0, 0], [1, 1])
    openvino.save_model(openvino.Model([made], [given]), tmp_path / "a.xml", compress_to_fp16=False)
    assert stored(tmp_path / "a.xml") == "w8"


@pytest.mark.parametrize("suffix", [".mnn", ".tflite", ".param", ".onnx"])
def test_damaged(shared: Path, tmp_path: Path, suffix: str) -> None:
    file = next(f for f in (shared / "reference").rglob(f"*{suffix}"))
    content = file.read_bytes()
    (tmp_path / "a.bin").write_bytes(b"")
    for end in (0, 3, 40, len(content) // 2):
        (tmp_path / f"a{suffix}").write_bytes(content[:end])
        try:
            assert stored(tmp_path / f"a{suffix}") in ("fp32", "int8")
        except InputError as error:
            assert f"a{suffix}" in str(error)
