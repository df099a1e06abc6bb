"""Same input, versions and options: the same bytes, in every format."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source

for package in ("onnx", "onnxsim", "MNN", "ncnn"):
    pytest.importorskip(package, reason="the converters are not all installed")


def digests(folder: Path) -> dict[str, str]:
    made = convert(resolve_source("slim-320", (64, 64)), ["all"], output=folder)
    return {name: value for each in made.artifacts for name, value in each.sha256.items()}


def test_two_conversions_write_the_same_bytes(tmp_path: Path) -> None:
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert len(first) >= 6 and first == second
