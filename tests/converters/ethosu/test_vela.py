"""Networks compiled for an Ethos-U: all on the NPU, and the estimate in the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.quantize.conftest import Case
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.plan import plan
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.tflite import with_logistic
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.quantize.int8 import Int8Job
from ultraface_deploy.quantize.plan import Scheme, make_plan

pytest.importorskip("ethosu.vela", reason="Vela is not installed")
pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")


def emit(case: Case, folder: Path, keep: tuple[str, ...] = (), accelerator: str = "") -> None:
    files = {"onnxsim": case.files("onnxsim")}
    job = Int8Job(case.spec, case.network, files, (), accelerator or "ethos-u55-128")
    network, table = with_logistic(job, case.table)
    int8 = get_format("ethosu").int8
    assert int8 is not None
    made = int8.emit(make_plan(network, table, Scheme(keep=keep)), job, folder)
    assert all(path.is_file() for path in made)
    estimate = get_format("ethosu").estimate(made)
    assert estimate is not None
    assert estimate["cpu_operators"] == 0
    assert estimate["npu_operators"] > 40
    assert 0 < estimate["milliseconds"] < 20
    assert estimate["cycles"] == pytest.approx(
        estimate["milliseconds"] * estimate["clock_mhz"] * 1e3, rel=0.01
    )


def test_every_operator_is_on_the_npu(case: Case, tmp_path: Path) -> None:
    emit(case, tmp_path)


def test_another_accelerator(slim: Case, tmp_path: Path) -> None:
    emit(slim, tmp_path, accelerator="ethos-u85-256")


def test_what_is_left_to_the_processor_is_refused(slim: Case, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match=r"leaves [1-9][0-9]* operators? to the processor"):
        emit(slim, tmp_path, keep=("base_net.1.0",))


def test_the_manifest_keeps_the_estimate(cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", "--to", "ethosu", "--int8", "--input-size", "128x96", "-o", tmp_path)
    assert done.code == 0, done.err
    assert "estimated: by Vela, not measured" in done.err
    # What `bench` tells of it here is nothing of an NPU.
    assert "ultraface-deploy bench" not in done.err
    artifact = ArtifactFolder.open(tmp_path).find("ethosu", "int8")
    assert artifact.verified
    assert artifact.estimate is not None
    assert artifact.estimate["accelerator"] == "Ethos_U55_128"


def test_an_unknown_accelerator_is_refused_at_once(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "convert", "--to", "ethosu", "--int8", "--accelerator", "u55", "-o", tmp_path / "out"
    )
    assert done.code == 2
    assert "--accelerator u55: unknown; choose from ethos-u55-32" in done.error
    assert not (tmp_path / "out").exists()


def test_all_does_not_mean_accelerators() -> None:
    assert "ethosu" not in {step.format for step in plan("torch", ["all"], "int8")}
