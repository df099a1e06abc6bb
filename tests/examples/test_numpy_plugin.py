"""The example plug-in, installed by its entry points alone, through every command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import cv2
import pytest

from tests.conftest import ROOT, Cli, require_installed
from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

require_installed("onnxsim", "the format is made of simplified ONNX")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the distribution into a folder that this process and its children look into."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(ROOT / "examples/numpy_plugin", source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--target", site, source),
        ],
        check=True,
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "ultraface_numpy"]:
        del sys.modules[name]


def test_it_is_treated_like_a_built_in_one(
    plugin: None, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    int8 = ("--to", "npz", "--int8", "--ranges", "mse", "--search-seconds", "1", "-o", out)
    made = cli("convert", *int8, "--input-size", "128x96")
    assert made.code == 0, made.err
    assert "npz-int8" in made.err
    assert cli("convert", out, "--to", "npz", "-o", out).code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    sizes = {each["id"]: each["bytes"] for each in manifest["artifacts"]}
    assert sizes["npz-int8"] < 0.4 * sizes["npz"]

    verified = cli("verify", out, "--backend", "numpy", "--json", "-")
    assert verified.code == 0, verified.err
    results = {each["artifact"]: each for each in json.loads(verified.out)["results"]}
    assert results.keys() == {"onnxsim", "npz", "npz-int8"}
    assert results["npz"]["max_abs_scores"] < 1e-4 < results["npz-int8"]["max_abs_scores"]

    quick = ("--seconds", "0.2", "--launches", "1")
    timed = cli("bench", out, "--backend", "numpy", "--precision", "int8", *quick, "--json", "-")
    assert timed.code == 0, timed.err
    stages = {each["stage"]: each for each in json.loads(timed.out)["results"]}
    assert stages["inference"]["artifact"] == "npz-int8"

    pictures, labels = tmp_path / "pictures", tmp_path / "labels.txt"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.jpg"), read_image(DEMO_PHOTO))
    labels.write_text("a.jpg\n1\n10 10 50 50 0 0 0 0 0 0\n")
    own = ("--folder", pictures, "--labels", labels, "--jobs", "1")
    found = cli("eval", out, *own, "--backend", "numpy", "--precision", "int8", "--json", "-")
    assert found.code == 0, found.err
    assert json.loads(found.out)["results"][0]["backend"] == "numpy"

    shutil.copy(out / "slim-320-128x96.npz", tmp_path / "foreign.npz")
    for model in (out, tmp_path / "foreign.npz"):
        faces = cli("detect", DEMO_PHOTO, "--model", model, "--backend", "numpy", "--json", "-")
        assert faces.code == 0, faces.err
        assert json.loads(faces.out)["results"][0]["faces"]
    (tmp_path / "broken.npz").write_bytes(b"PK")
    broken = cli("detect", DEMO_PHOTO, "--model", tmp_path / "broken.npz")
    assert broken.code == 2
    assert "not such an .npz file" in broken.error

    refused = cli("bench", "count", "cortex-a72", out, "--backend", "numpy")
    assert refused.code == 2
    assert "does not run on an emulated core" in refused.error

    # Its own tolerance judges it, and its own gate.
    runtime = import_module("ultraface_numpy.runtime").Numpy
    strict = {"fp32": Tolerance(1e-12, 1e-12), "int8": Tolerance(None, None, f1=1.1)}
    monkeypatch.setattr(runtime, "tolerances", strict)
    assert cli("verify", out, "--backend", "numpy").code == 1
    shut = cli("convert", out, *int8)
    assert shut.code == 1
    assert "INT8 candidates passed" in shut.error
