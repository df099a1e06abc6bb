"""Instructions by layer of a C file on an emulated core."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import require_installed
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.bench.count.layers import count_layers, step_names
from ultraface_deploy.errors import InputError

require_installed("onnxsim", "C is made from simplified ONNX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    source = resolve_source(models.FOLDER / "slim-320.onnx", (64, 64))
    return convert(source, ["c"], output=tmp_path_factory.mktemp("artifacts"))


def test_every_layer_is_counted_and_they_add_up(folder: ArtifactFolder) -> None:
    for program in ("qemu-aarch64", "aarch64-linux-gnu-gcc", "cc"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    files = folder.files(folder.find("c"))
    counts = count_layers(files, folder.spec, "cortex-a72")
    assert counts.kernels == "neon"
    assert list(counts.steps) == step_names(files[0].read_text())
    assert counts.steps["base_net.0.0"] > 0
    # Bands, padding and decoding are in the whole and in no step.
    assert 0.8 < sum(counts.steps.values()) / counts.total < 1


def test_other_code_is_not_compiled(folder: ArtifactFolder, tmp_path: Path) -> None:
    files = [Path(shutil.copy(path, tmp_path)) for path in folder.files(folder.find("c"))]
    files[0].write_text(files[0].read_text() + "int more;\n")
    with pytest.raises(InputError, match="not a C file of this version"):
        count_layers(files, folder.spec, "cortex-a72")
