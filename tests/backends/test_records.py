"""What the record of each runtime says, and that the places which need to know ask it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ultraface_deploy.agreement.precision import PRECISIONS, precision_record
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.bench import machine
from ultraface_deploy.bench.count.sysroot import emulated_backends, wheel_requirements
from ultraface_deploy.family.spec import ModelSpec

RAW = ModelSpec("net", "slim", 64, 64)


def test_tolerances() -> None:
    assert get_backend("mnn").tolerance("fp32", RAW).scores == 2e-3
    exact = get_backend("ncnn").tolerance("fp32", RAW)
    assert (exact.scores, exact.boxes, exact.f1) == (5e-5, 5e-4, 1.0)
    decoded = replace(RAW, head="decoded")
    assert get_backend("ncnn").tolerance("fp32", decoded).boxes == pytest.approx(1e-4)


@pytest.mark.parametrize("name", backend_names())
def test_every_precision_has_a_tolerance_everywhere(name: str) -> None:
    backend = get_backend(name)
    for precision in PRECISIONS:
        if precision not in backend.tolerances:
            assert backend.tolerance(precision, RAW) == precision_record(precision).tolerance


@pytest.mark.parametrize("name", backend_names())
def test_a_record_is_complete(name: str) -> None:
    backend = get_backend(name)
    assert backend.name == name
    assert backend.formats
    assert backend.requirement.startswith(backend.distribution)


def test_an_emulated_core_gets_the_wheels_of_the_records() -> None:
    assert {"onnxruntime", "mnn", "ncnn", "opencv"} <= set(emulated_backends())
    assert "torch" not in emulated_backends()
    packages = {requirement.partition("==")[0] for requirement in wheel_requirements()}
    assert {"numpy", "onnxruntime", "opencv-python-headless", "filelock"} <= packages
    assert len(packages) == len(wheel_requirements())


def test_results_name_the_versions_of_the_runtimes() -> None:
    versions = machine.library_versions()
    assert versions["onnxruntime"] == get_backend("onnxruntime").version()
    assert {"numpy", "opencv-python-headless"} <= set(versions)
    assert "caffe" not in versions
