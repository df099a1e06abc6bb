"""What is installed, and advice for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy import doctor
from ultraface_deploy.backends import backend_names
from ultraface_deploy.converters import target_names

ARM = "processor\t: 0\nModel name\t: ignored\nFeatures\t: fp asimd crc32 asimddp\n\nModel\t\t: Pi\n"
X86 = "processor : 0\nmodel name : Some CPU @ 2 GHz\nflags : fpu avx2 fma f16c avx512_vnni\n"


def test_lists_everything() -> None:
    report = doctor.examine()
    assert report["schema"] == 1
    assert [row["name"] for row in report["backends"]] == list(backend_names())
    assert [row["name"] for row in report["converters"]] == list(target_names())
    assert report["machine"]["cores"] >= 1
    onnxruntime = report["backends"][0]
    assert onnxruntime["missing"] is None
    assert onnxruntime["version"]


def test_missing_packages_come_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultraface_deploy.backends.base.find_spec", lambda name: None)
    monkeypatch.setattr("ultraface_deploy.converters.base.find_spec", lambda name: None)
    report = doctor.examine()
    for row in report["backends"] + report["converters"]:
        if row["name"] != "caffe":
            assert "pip install" in row["missing"]


@pytest.mark.parametrize(
    ("cpuinfo", "model", "features"),
    [
        (X86, "Some CPU @ 2 GHz", ["avx2", "avx512_vnni", "f16c", "fma"]),
        (ARM, "Pi", ["asimd", "asimddp"]),
    ],
    ids=["x86", "arm"],
)
def test_processor(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpuinfo: str,
    model: str,
    features: list[str],
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    monkeypatch.setattr(doctor, "Path", lambda path: file)
    assert doctor.cpu_model() == model
    assert doctor.cpu_features() == features


def test_system_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "Path", lambda path: tmp_path / "gone")
    assert doctor.cpu_features() == []
    assert doctor.cpu_model()
