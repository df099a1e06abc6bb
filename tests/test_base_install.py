"""The base install has no torch, no onnx, no MNN, no ncnn: what needs no argument works there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_without_torch import HIDE_TORCH
from ultraface_deploy.safe.images import DEMO_PHOTO

GONE = ("torch", "onnx", "onnxsim", "MNN", "ncnn", "pnnx", "ai_edge_litert", "scipy", "matplotlib")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs the command line in an empty folder, without the packages of extras."""
    site = tmp_path / "site"
    site.mkdir()
    hide = HIDE_TORCH.replace('== "torch"', f"in {GONE}")
    assert hide != HIDE_TORCH
    (site / "sitecustomize.py").write_text(hide)
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    work = tmp_path / "work"
    work.mkdir()

    def start(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ultraface_deploy", *map(str, arguments)],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
        )

    return start


def test_verify_first(run: Run) -> None:
    done = run("verify", "--json", "-")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert all(row["passed"] for row in rows)
    assert {(row["artifact"], row["backend"]) for row in rows} >= {("onnx", "opencv")}
    assert "left out: onnxsim, mnn, ncnn" in done.stderr
    assert "pip install 'ultraface-deploy[" in done.stderr


def test_bench_first_then_recommend(run: Run) -> None:
    quick = ("--seconds", "0.2", "--launches", "1", "--max-seconds", "1")
    done = run("bench", *quick, "--json", "result.json")
    assert done.returncode == 0, done.stderr
    for backend in ("onnxruntime", "opencv"):
        assert backend in done.stdout
    done = run("bench", "recommend", "result.json")
    assert done.returncode == 0, done.stderr
    command = done.stdout.splitlines()[-1]
    assert command.startswith("ultraface-deploy detect SOURCE --model artifacts/slim-320")
    words = command.replace("SOURCE", str(DEMO_PHOTO)).split()[1:]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("1 face\n")


def test_convert_first(run: Run) -> None:
    done = run("convert")
    assert done.returncode == 0, done.stderr
    assert "left out: onnxsim, mnn, ncnn" in done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("convert", "--to", "mnn", "--int8"), "mnn"),
        (("bench", "--backend", "ncnn", "--threads", "4"), "ncnn"),
        (("convert", "--input-size", "160x120", "--to", "onnx"), "onnx"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_needs_an_extra_names_it(run: Run, command: tuple[str, ...], extra: str) -> None:
    done = run(*command)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"pip install 'ultraface-deploy[{extra}]'" in done.stderr
