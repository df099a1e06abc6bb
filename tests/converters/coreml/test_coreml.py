"""Packages for Core ML: what they hold and say, against torch, and damaged ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import Cli, Convert, MakeCheckpoint, noise
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.coreml.convert import convert_onnx
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.family.nets import deployed
from ultraface_deploy.pipeline import preprocess

pytest.importorskip("coremltools", reason="coremltools is not installed")
torch = pytest.importorskip("torch", reason="the reference is the torch network")


@pytest.fixture(scope="module", params=["slim", "rfb"])
def small(
    request: pytest.FixtureRequest, converted: Convert, make_checkpoint: MakeCheckpoint
) -> ArtifactFolder:
    """slim as it is; RFB at an uneven size with three classes and decoded boxes."""
    if request.param == "slim":
        return converted(make_checkpoint("slim"), "onnxsim", "coreml", size=(128, 96))
    checkpoint = make_checkpoint("rfb", 3)
    return converted(checkpoint, "onnxsim", "coreml", size=(99, 65), head="decoded")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    """The embedded network in all three precisions, in a folder with quotes in its name."""
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.source import resolve_source

    output = tmp_path_factory.mktemp("coreml") / 'it\'s "coreml"'
    precisions = ("fp32", "fp16", "w8")
    return convert(resolve_source("slim-320", (128, 96)), ["coreml"], precisions, output)


def test_equals_torch(small: ArtifactFolder) -> None:
    artifact = small.find("coreml")
    tensor = preprocess(noise(50, 40), small.spec)
    found = get_backend("coreml").load(small.files(artifact), small.spec).run(tensor)
    network = deployed(load_checkpoint(small.files(small.find("torch"))[0]).build(), small.spec)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(tensor))
    for key, values in zip(("scores", "boxes"), wanted, strict=True):
        np.testing.assert_allclose(found[key], values.numpy(), rtol=0, atol=1e-4, err_msg=key)


def test_says_what_it_is(small: ArtifactFolder) -> None:
    files = small.files(small.find("coreml"))
    record = get_format("coreml")
    record.check(files)
    assert record.stated_spec(files) == small.spec
    entries = json.loads(files[2].read_text())["itemInfoEntries"].values()
    data = files[2].parent / "Data"
    assert {data / entry["path"] for entry in entries} == {files[0], files[1].parent}


def test_two_writings_are_the_same_bytes(small: ArtifactFolder, tmp_path: Path) -> None:
    written = small.files(small.find("coreml"))
    again = [tmp_path / path.name for path in written]
    source = small.files(small.find("onnxsim"))[0]
    convert_onnx(source, again, small.spec, "fp32")
    for first, second in zip(written, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_precisions(trained: ArtifactFolder) -> None:
    sizes = []
    for precision in ("fp32", "fp16", "w8"):
        artifact = trained.find("coreml", precision)  # type: ignore[arg-type]
        assert artifact.verified
        assert artifact.verification is not None
        assert artifact.verification["compared_by"] in ("interpreter", "runtime")
        sizes.append(trained.files(artifact)[1].stat().st_size)
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.02)
    assert sizes[2] == pytest.approx(sizes[0] / 4, rel=0.1)


def test_what_only_reads_the_file_is_not_timed(trained: ArtifactFolder, cli: Cli) -> None:
    if get_backend("coreml").timed:
        pytest.skip("this is a Mac, where Core ML itself runs")
    assert cli("verify", trained.path, "--backend", "coreml").code == 0
    done = cli("bench", "run", trained.path, "--backend", "coreml")
    assert done.code == 2
    assert "milliseconds" in done.error


def test_a_package_of_its_own(trained: ArtifactFolder, tmp_path: Path, cli: Cli) -> None:
    """Without the manifest of a folder; and without its weights, in one line."""
    package = trained.path / trained.find("coreml").files[0].partition("/")[0]
    copy = Path(shutil.copytree(package, tmp_path / 'a "b".mlpackage'))
    model = copy / "Data" / "com.apple.CoreML" / "model.mlmodel"
    done = cli("verify", model)
    assert done.code == 0, done.err
    shutil.rmtree(model.parent / "weights")
    done = cli("verify", model)
    assert done.code == 2
    assert "weight.bin beside it, which is missing" in done.error
    alone = Path(shutil.copy(model, tmp_path / "alone.mlmodel"))
    done = cli("verify", alone)
    assert done.code == 2
    assert "a part of its folder" in done.error


def test_what_is_changed_is_refused(trained: ArtifactFolder, tmp_path: Path, cli: Cli) -> None:
    copy = Path(shutil.copytree(trained.path, tmp_path / "copy"))
    folder = ArtifactFolder.open(copy)
    weights = folder.files(folder.find("coreml"))[1]
    content = bytearray(weights.read_bytes())
    content[5000] ^= 0x40
    weights.write_bytes(content)
    done = cli("verify", copy, "--backend", "coreml")
    assert done.code == 1
    assert "weight.bin is not the file that was converted" in done.error


def test_an_unknown_operator_is_named(small: ArtifactFolder, tmp_path: Path) -> None:
    model = onnx.load(str(small.files(small.find("onnxsim"))[0]))
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Softplus"
    strange = tmp_path / "strange.onnx"
    onnx.save(model, str(strange))
    files = [tmp_path / name for name in ("model.mlmodel", "weight.bin", "Manifest.json")]
    with pytest.raises(InputError, match="is Softplus, which is not known"):
        convert_onnx(strange, files, small.spec, "fp32")
    assert not any(file.exists() for file in files)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("content", [b"", b"no network", bytes(500)])
def test_damaged_files(small: ArtifactFolder, tmp_path: Path, place: int, content: bytes) -> None:
    files = [Path(shutil.copy(file, tmp_path)) for file in small.files(small.find("coreml"))]
    files[place].write_bytes(content)
    with pytest.raises(InputError, match=files[place].name):
        get_format("coreml").check(files)
