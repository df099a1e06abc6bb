"""Generated projects, and the compilers and runtimes to build them with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.sdk.native import Build, aarch64, native, with_runtime
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.quantize.options import Int8Options
from ultraface_deploy.sdk import RUNTIMES, Runtime


@pytest.fixture(scope="session", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    chosen: Runtime = request.param
    return chosen


@pytest.fixture(scope="session")
def native_build(runtime: Runtime) -> Build:
    """This machine's compiler with a runtime built by it."""
    return with_runtime(native(), runtime)


@pytest.fixture(scope="session")
def aarch64_build(runtime: Runtime) -> Build:
    """The cross compiler with a runtime built by it, and the emulator."""
    return with_runtime(aarch64(), runtime)


@pytest.fixture(scope="session")
def slim_folder(
    native_build: Build,
    runtime: Runtime,
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> ArtifactFolder:
    """The published slim network, as trained and in INT8; made where it can be built."""
    pytest.importorskip("torch", reason="torch is not installed; pip install '.[convert]'")
    source = resolve_source(shared / "checkpoints" / "version-slim-320.pth", name="slim-320")
    folder = tmp_path_factory.mktemp("artifacts") / "slim-320"
    convert(source, [runtime], output=folder)
    quick = Int8Options(calibration=shared / "wider" / "WIDER_train", images=40, budget_s=1)
    return convert(source, [runtime], "int8", folder, int8=quick)


@pytest.fixture(scope="session")
def photographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The 24 photographs as PPM files, which every demo reads, by their original names."""
    folder = tmp_path_factory.mktemp("ppm")
    paths = {}
    for path in sorted((shared / "images").glob("*.jpg")):
        paths[path.name] = folder / f"{path.stem}.ppm"
        cv2.imwrite(str(paths[path.name]), read(path))
    assert len(paths) == 24
    return paths


def read(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture as BGR."""
    image = cv2.imread(str(path))
    assert image is not None
    return image.astype(np.uint8, copy=False)
