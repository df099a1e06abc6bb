"""Files for the K210: compiled and simulated by nncase, and what is refused without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.images import DEMO_PHOTO

needs_nncase = pytest.mark.skipif(
    toolbox.installed("k210") is None,
    reason="needs nncase: ultraface-deploy tools install k210",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    """A small folder with a file for the K210, in a folder with quotes in its name."""
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.source import resolve_source

    output = tmp_path_factory.mktemp("k210") / 'it\'s "k210"'
    source = resolve_source("slim-320", (128, 96))
    return convert(source, ["kmodel"], "int8", output)


@needs_nncase
def test_the_manifest_says_how_it_was_compared(made: ArtifactFolder) -> None:
    artifact = made.find("kmodel", "int8")
    assert artifact.verified
    assert artifact.verification is not None
    assert artifact.verification["compared_by"] == "simulator"
    assert artifact.verification["backend"] == "k210"
    assert artifact.estimate is not None
    assert artifact.estimate["by"] == "nncase, not measured"
    assert 100_000 < artifact.estimate["memory_bytes"] < 6_000_000
    assert [name.partition(".")[2] for name in artifact.files] == [
        "int8.kmodel",
        "int8.kmodel.json",
    ]
    # A quarter of FP32, and what describes the graph.
    assert made.files(artifact)[0].stat().st_size < 0.4 * made.find("onnxsim").bytes


@needs_nncase
def test_verified_but_not_timed(made: ArtifactFolder, cli: Cli) -> None:
    done = cli("verify", made.path, "--backend", "k210", "--json", "-")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["compared_by"] == "simulator" and result["detections"]
    for model in (made.path, made.files(made.find("kmodel", "int8"))[0]):
        done = cli("bench", "run", model, "--backend", "k210", "--precision", "int8")
        assert done.code == 2
        assert "milliseconds" in done.error
    # Nobody named a backend: what simulates is not chosen.
    done = cli("detect", DEMO_PHOTO, "--model", made.path, "--precision", "int8")
    assert done.code == 2
    assert "has no int8 artifact for any installed backend" in done.error


@needs_nncase
def test_one_photograph_is_no_calibration(tmp_path: Path, cli: Cli) -> None:
    photos = tmp_path / 'one "photo"'
    photos.mkdir()
    shutil.copy(DEMO_PHOTO, photos)
    output = tmp_path / "out"
    arguments = ["--to", "kmodel", "--int8", "--calibration", photos, "-o", output]
    done = cli("convert", *arguments)
    assert done.code == 2
    assert 'one "photo": holds one photograph' in done.error
    assert not output.exists()


def test_without_nncase(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(tmp_path / "none"))
    output = tmp_path / "out"
    done = cli("convert", "--to", "kmodel", "--int8", "-o", output)
    assert done.code == 3
    assert "ultraface-deploy tools install k210" in done.error
    assert not output.exists()
    done = cli("convert", "--to", "kmodel", "-o", output)
    assert done.code == 2
    assert "kmodel does not offer fp32; it offers int8" in done.error
    assert not get_backend("k210").available()
    assert get_backend("k210").version() is None


@needs_nncase
@pytest.mark.parametrize("keep", [4, 200, 100_000])
def test_damaged_files(made: ArtifactFolder, tmp_path: Path, keep: int) -> None:
    file = tmp_path / "damaged.kmodel"
    whole = made.files(made.find("kmodel", "int8"))[0].read_bytes()
    file.write_bytes(whole[:keep])
    with pytest.raises(BackendError, match="k210 cannot run it"):
        get_backend("k210").load([file], made.spec, precision="int8")


@pytest.mark.parametrize("content", [b"", b"LDM", b"MZ" * 100])
def test_what_is_no_kmodel(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "no.kmodel"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"not a \.kmodel"):
        get_format("kmodel").check([file])
