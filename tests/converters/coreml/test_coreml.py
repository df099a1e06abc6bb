"""Packages for Core ML: what they hold and say, against torch, and damaged ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import Cli, Convert, MakeCheckpoint, noise, require_installed
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.coreml.convert import convert_onnx
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.family.nets import deployed
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import DEMO_PHOTO

require_installed("coremltools", "coremltools is not installed")
torch = pytest.importorskip("torch", reason="the reference is the torch network")


@pytest.fixture(scope="module", params=["slim", "rfb"])
def small(
    request: pytest.FixtureRequest, converted: Convert, make_checkpoint: MakeCheckpoint
) -> ArtifactFolder:
    """slim as it ships; RFB at an uneven size with three classes and decoded boxes."""
    if request.param == "slim":
        trained: ArtifactFolder = request.getfixturevalue("trained")
        return trained
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
    for given in (copy, model):
        done = cli("verify", given)
        assert done.code == 0, done.err
    shutil.rmtree(model.parent / "weights")
    done = cli("verify", model)
    assert done.code == 2
    assert "weight.bin beside it, which is missing" in done.error
    alone = Path(shutil.copy(model, tmp_path / "alone.mlmodel"))
    done = cli("verify", alone)
    assert done.code == 2
    assert "a part of its folder" in done.error


@pytest.fixture
def package(trained: ArtifactFolder, tmp_path: Path) -> Path:
    """A package alone, as somebody hands it on."""
    name = trained.find("coreml").files[0].partition("/")[0]
    return Path(shutil.copytree(trained.path / name, tmp_path / "given.mlpackage"))


def test_a_package_as_it_is(package: Path, trained: ArtifactFolder, cli: Cli) -> None:
    """Where a model is given, the folder of the package stands for it."""
    detector = Detector.open(package)
    assert (detector.backend.name, detector.spec) == ("coreml", trained.spec)
    done = cli("detect", DEMO_PHOTO, "--model", package, "--json", "-")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["results"][0]["faces"]) == 1
    for command in ("convert", "package", "quantize report", "bench count"):
        done = cli(*command.split(), package)
        assert done.code == 2
        assert done.error.count("\n") == 0
        assert "manifest.json" not in done.error


def _without(manifest: Path, *fields: str) -> None:
    said = json.loads(manifest.read_text())
    for field in fields:
        del said[field]
    manifest.write_text(json.dumps(said))


def _naming(manifest: Path, path: str) -> None:
    said = json.loads(manifest.read_text())
    said["itemInfoEntries"][said["rootModelIdentifier"]]["path"] = path
    manifest.write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda m: m.write_text("{"), "not the manifest of an .mlpackage, or damaged"),
        (lambda m: m.write_text(""), "the manifest of an .mlpackage is empty"),
        (lambda m: m.write_text("[" * 100_000), "not the manifest of an .mlpackage, or damaged"),
        (lambda m: m.write_text(" " * (1 << 26)), "Manifest.json"),
        (lambda m: m.write_text('{"rootModelIdentifier": 3, "itemInfoEntries": {}}'), "expected"),
        (lambda m: m.unlink(), "needs Manifest.json"),
        (lambda m: _without(m, "rootModelIdentifier"), "rootModelIdentifier"),
        (lambda m: _without(m, "itemInfoEntries"), "itemInfoEntries"),
        (lambda m: _naming(m, "../../../etc/passwd"), "names the model '../../../etc/passwd'"),
        (lambda m: _naming(m, "com.apple.CoreML/other.mlmodel"), "only com.apple.CoreML/model"),
    ],
)
def test_a_manifest_that_misleads(
    package: Path, damage: Callable[[Path], object], said: str, cli: Cli
) -> None:
    damage(package / "Manifest.json")
    done = cli("verify", package)
    assert done.code == 2
    assert said in done.error
    assert len(done.error.splitlines()) == 1


@pytest.mark.parametrize("part", ["model.mlmodel", "weights/weight.bin", "weights"])
def test_links_that_lead_out(package: Path, tmp_path: Path, part: str, cli: Cli) -> None:
    inner = package / "Data" / "com.apple.CoreML" / part
    inner.rename(tmp_path / "elsewhere")
    inner.symlink_to(tmp_path / "elsewhere")
    done = cli("verify", package)
    assert done.code == 2
    assert "is a link that leads out of given.mlpackage" in done.error
    with pytest.raises(InputError, match="leads out"):
        data = package / "Data" / "com.apple.CoreML"
        names = ("model.mlmodel", "weights/weight.bin")
        get_format("coreml").check([*(data / name for name in names), package / "Manifest.json"])


@pytest.mark.parametrize("part", ["model.mlmodel", "weights", ""])
def test_what_is_missing(package: Path, part: str, cli: Cli) -> None:
    inner = package / "Data" / "com.apple.CoreML" / part
    inner.unlink() if inner.is_file() else shutil.rmtree(inner)
    done = cli("detect", DEMO_PHOTO, "--model", package)
    assert done.code == 2
    assert len(done.error.splitlines()) == 1
    assert str(package) in done.error


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
    package = small.files(small.find("coreml"))[2].parent
    copy = Path(shutil.copytree(package, tmp_path / package.name))
    files = [copy / file.relative_to(package) for file in small.files(small.find("coreml"))]
    files[place].write_bytes(content)
    with pytest.raises(InputError, match=files[place].name):
        get_format("coreml").check(files)
