"""Generated projects, and the compilers and runtimes to build them with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.package.native import Build, aarch64, native, ncnn_for
from ultraface_deploy.artifact import ArtifactFolder
from ultraface_deploy.convert import convert
from ultraface_deploy.model_source import resolve_source
from ultraface_deploy.quantize.options import Int8Options


@pytest.fixture(scope="session")
def native_build() -> Build:
    """This machine's compiler with an ncnn built by it."""
    return ncnn_for(native())


@pytest.fixture(scope="session")
def aarch64_build() -> Build:
    """The cross compiler with an ncnn built by it, and the emulator."""
    return ncnn_for(aarch64())


@pytest.fixture(scope="session")
def slim_folder(
    native_build: Build, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> ArtifactFolder:
    """The published slim network for ncnn, as trained and in INT8; made where it can be built."""
    pytest.importorskip("pnnx", reason="pnnx is not installed; pip install '.[convert]'")
    pytest.importorskip("torch", reason="torch is not installed; pip install '.[convert]'")
    source = resolve_source(shared / "checkpoints" / "version-slim-320.pth", name="slim-320")
    folder = tmp_path_factory.mktemp("artifacts") / "slim-320"
    convert(source, ["ncnn"], output=folder)
    quick = Int8Options(calibration=shared / "wider" / "WIDER_train", images=40, budget_s=1)
    return convert(source, ["ncnn"], "int8", folder, int8=quick)
