"""Files for Rockchip's NPUs: compiled and simulated by the maker's toolkit, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.rknn.chips import CHIPS
from ultraface_deploy.errors import BackendError, InputError
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.images import DEMO_PHOTO

needs_toolkit = pytest.mark.skipif(
    toolbox.installed("rknn") is None,
    reason="needs rknn-toolkit2: ultraface-deploy tools install rknn",
)
JOB = {
    "schema": 1,
    "chip": "rk3588",
    "width": 128,
    "height": 96,
    "mean": [127.0] * 3,
    "std": [128.0] * 3,
    "outputs": ["scores_0"],
    "ranges": {"input": [[-1.0], [1.0]]},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    """A small folder with a file for an RK3566, in a folder with quotes in its name."""
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.source import resolve_source
    from ultraface_deploy.quantize import Int8Options

    output = tmp_path_factory.mktemp("rknn") / 'it\'s "rknn"'
    source = resolve_source("slim-320", (128, 96))
    return convert(source, ["rknn"], "int8", output, int8=Int8Options(chip="rk3566"))


@needs_toolkit
def test_the_manifest_says_how_it_was_compared(made: ArtifactFolder) -> None:
    artifact = made.find("rknn", "int8")
    assert artifact.verified
    assert artifact.verification is not None
    assert artifact.verification["compared_by"] == "simulator"
    file, network, job = made.files(artifact)
    assert json.loads(job.read_text())["chip"] == "rk3566"
    # Cut at the convolutions; the whole graph becomes megabytes of zeros.
    assert file.stat().st_size < 0.5 * network.stat().st_size
    get_format("rknn").check([file, network, job])


@needs_toolkit
def test_verified_but_not_timed(made: ArtifactFolder, cli: Cli) -> None:
    done = cli("verify", made.path, "--backend", "rknn", "--json", "-")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    # Built once more, with the ranges that were written down: the same numbers.
    recorded = made.find("rknn", "int8").verification
    assert recorded is not None
    assert result["max_abs_scores"] == pytest.approx(recorded["max_abs_scores"], rel=1e-6)
    assert cli("bench", "run", made.path, "--backend", "rknn").code == 2


@needs_toolkit
def test_damaged_network(made: ArtifactFolder, tmp_path: Path) -> None:
    files = [Path(shutil.copy(file, tmp_path)) for file in made.files(made.find("rknn", "int8"))]
    files[1].write_bytes(files[1].read_bytes()[:5000])
    with pytest.raises(BackendError, match="rknn cannot run it"):
        get_backend("rknn").load(files, made.spec, precision="int8")


def test_a_wrong_chip_is_refused_at_once(tmp_path: Path, cli: Cli) -> None:
    for chip in ("rk3399", 'rk"3588'):
        done = cli("convert", "--to", "rknn", "--int8", "--chip", chip, "-o", tmp_path / "out")
        assert done.code == 2
        assert f"--chip {chip}: unknown; choose from {', '.join(CHIPS)}" in done.error
    assert not (tmp_path / "out").exists()


def test_without_the_toolkit(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(tmp_path / "none"))
    done = cli("convert", "--to", "rknn", "--int8", "-o", tmp_path / "out")
    assert done.code == 3
    assert "ultraface-deploy tools install rknn" in done.error
    assert not (tmp_path / "out").exists()


@needs_toolkit
def test_one_photograph_is_no_calibration(tmp_path: Path, cli: Cli) -> None:
    photos = tmp_path / "one"
    photos.mkdir()
    shutil.copy(DEMO_PHOTO, photos)
    done = cli("convert", "--to", "rknn", "--int8", "--calibration", photos, "-o", tmp_path / "out")
    assert done.code == 2
    assert "holds one photograph" in done.error


DAMAGE: dict[str, Callable[[list[Path]], object]] = {
    "not a .rknn": lambda files: files[0].write_bytes(b"RKN"),
    "convert again": lambda files: files[2].write_text('{"schema": 1, "chip": "rk3588"}'),
    "a chip of another kind": lambda files: files[2].write_text(
        json.dumps(JOB | {"chip": "/bin/sh"})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    files = [tmp_path / f'a "b"{suffix}' for suffix in get_format("rknn").suffixes]
    files[0].write_bytes(b"RKNN" + bytes(60))
    files[1].write_bytes(b"")
    files[2].write_text(json.dumps(JOB))
    get_format("rknn").check(files)
    DAMAGE[damage](files)
    with pytest.raises(InputError, match=r'a "b".*convert again'):
        get_format("rknn").check(files)
