"""What is installed, and advice for what is not."""

from __future__ import annotations

import pytest

from ultraface_deploy import doctor
from ultraface_deploy.backends import backend_names
from ultraface_deploy.converters import target_names
from ultraface_deploy.safe import toolbox


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
        # These need no package of pip; for makers' tools see tests/safe/test_toolbox.py.
        if row["name"] not in ("caffe", "native", "c", *toolbox.TOOLS):
            assert "pip install" in row["missing"]


def test_sizes_name_what_brings_a_package() -> None:
    rows = {row["package"]: row for row in doctor.sizes()}
    assert rows["numpy"]["extras"] == ["base"] and rows["numpy"]["bytes"] > 10_000_000
    weights = [row["bytes"] for row in rows.values()]
    assert weights == sorted(weights, reverse=True)
    if "ncnn" in rows:
        assert "ncnn" in rows["ncnn"]["extras"]
