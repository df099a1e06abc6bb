"""Files for Espressif's ESP32-P4: computed here, written by esp-ppq, and what is refused."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Cli
from tests.converters.espdl.writer import Writer, constant, convolution, filters, stated
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.backends.edl import Program
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.espdl.compile import require_the_same
from ultraface_deploy.errors import BackendError, InputError, ToolFailed
from ultraface_deploy.family.spec import METADATA_KEY
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.images import DEMO_PHOTO

needs_tool = pytest.mark.skipif(
    toolbox.installed("esp") is None,
    reason="needs esp-ppq: ultraface-deploy tools install esp",
)
GENERATOR = np.random.default_rng(18)
# A whole block of outputs and some more; their exponents differ.
WEIGHTS = {
    "a": GENERATOR.integers(-127, 128, (20, 3, 3, 3)),
    "b": GENERATOR.integers(-127, 128, (20, 1, 3, 3)),
    "c": GENERATOR.integers(-127, 128, (5, 20, 1, 1)),
}
BIASES = {name: GENERATOR.integers(-5000, 5000, len(w)) for name, w in WEIGHTS.items()}
AT = {name: -7 - np.arange(len(w)) % 3 for name, w in WEIGHTS.items()}
MADE = {"input": -7, "a": -4, "b": -3, "c": -7}
STEPS = {"a": ("input", 1, 2, 1, True), "b": ("a", 20, 1, 1, True), "c": ("b", 1, 1, 0, False)}


def model(**changed: Any) -> dict[int, Any]:
    """A network of a dense, a depthwise and a 1x1 convolution."""
    nodes, constants = [], []
    for name, (source, groups, stride, pad, relu) in STEPS.items():
        activation = "Relu" if relu else "Linear"
        nodes.append(convolution(source, name, groups, stride, pad, activation, **changed))
        constants.append(filters(f"{name}/w", WEIGHTS[name], AT[name]))
        bias = BIASES[name].astype(np.int32)
        constants.append(constant(f"{name}/b", bias.shape, bias, AT[name]))
    graph = {
        **{0: nodes, 2: constants, 4: [stated("input", MADE["input"])]},
        **{5: [stated("c", MADE["c"])], 6: [stated(name, MADE[name]) for name in ("a", "b")]},
    }
    return {7: graph, 8: [{0: "said", 1: "by us"}]}


def by_hand(tensor: np.ndarray) -> np.ndarray:
    """The same in integers, output by output."""
    values = np.clip(np.rint(tensor[0] * 128), -128, 127).astype(np.int64)
    for name, (source, groups, stride, pad, relu) in STEPS.items():
        weight = WEIGHTS[name]
        padded = np.pad(values, ((0, 0), (pad, pad), (pad, pad)))
        side = weight.shape[2]
        rows, columns = ((each - side) // stride + 1 for each in padded.shape[1:])
        made = np.zeros((len(weight), rows, columns), np.int64)
        for n in range(len(weight)):
            seen = padded[n : n + 1] if groups > 1 else padded
            for y in range(rows):
                for x in range(columns):
                    at = seen[:, y * stride : y * stride + side, x * stride : x * stride + side]
                    total = int((at * weight[n]).sum() + BIASES[name][n])
                    # Python's round is half to even too, and exact on these.
                    scaled = round(total * 2.0 ** (MADE[source] + AT[name][n] - MADE[name]))
                    made[n, y, x] = np.clip(scaled, 0 if relu else -128, 127)
        values = made
    return values * 2.0 ** MADE["c"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / 'a "small" one.espdl'
    Writer().file(file, model())
    return file


def test_integers_by_hand(small: Path) -> None:
    program = Program.read(small)
    assert program.remarks == {"said": "by us"}
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 3, 9, 12)).astype(np.float32)
    found = program.run(tensor)
    assert list(found) == ["c"]
    wanted = by_hand(tensor)
    # They are cut at both ends somewhere, and not everywhere.
    assert {-1.0, 0.9921875} <= set(wanted.ravel()) and len(np.unique(wanted)) > 40
    assert np.array_equal(found["c"][0], wanted)


@pytest.mark.parametrize("changed", [{"kind": "Clip"}, {"quant_type": "S16"}, {"other": "Clip"}])
def test_other_networks(tmp_path: Path, changed: dict[str, str]) -> None:
    file = tmp_path / "other.espdl"
    Writer().file(file, model(**changed))
    with pytest.raises(InputError, match=r"not an \.espdl, or damaged"):
        Program.read(file)


def test_damaged_files(small: Path) -> None:
    whole = small.read_bytes()
    for damaged in (b"", whole[:15], b"EDL1" + whole[4:], whole[:-1], whole + b"\0"):
        small.write_bytes(damaged)
        with pytest.raises(InputError, match=r'a "small" one.*convert again'):
            get_format("espdl").check([small])
    generator = np.random.default_rng(1)
    for _ in range(300):
        content = bytearray(whole)
        for place in generator.integers(16, len(content), 3):
            content[place] = generator.integers(256)
        small.write_bytes(content)
        # Refused, or read: nothing else happens.
        with contextlib.suppress(InputError):
            Program.read(small).run(np.zeros((1, 3, 9, 12), np.float32))


@pytest.mark.parametrize(
    ("chip", "message"),
    [
        ("esp32s3", "--chip esp32s3: not offered: .*F1"),
        ("esp32", "--chip esp32: unknown; choose from esp32p4"),
        ('esp"32', '--chip esp"32: unknown; choose from esp32p4'),
    ],
)
def test_a_wrong_chip_is_refused_at_once(tmp_path: Path, cli: Cli, chip: str, message: str) -> None:
    done = cli("convert", "--to", "espdl", "--int8", "--chip", chip, "-o", tmp_path / "out")
    assert done.code == 2
    assert re.search(message, done.error), done.error
    assert not (tmp_path / "out").exists()


def test_networks_with_branches_are_refused_at_once(tmp_path: Path, cli: Cli) -> None:
    done = cli("convert", "rfb-320", "--to", "espdl", "--int8", "-o", tmp_path / "out")
    assert done.code == 2
    assert "espdl is not offered for rfb-320, of the kind rfb; for slim it is" in done.error
    assert not (tmp_path / "out").exists()


def test_a_chip_for_what_is_compiled_for_none(tmp_path: Path, cli: Cli) -> None:
    done = cli("convert", "--to", "mnn", "--chip", "esp32p4", "-o", tmp_path / "out")
    assert done.code == 2
    assert "--chip esp32p4: mnn is not compiled for a chip; choose from rknn, espdl" in done.error


def test_without_the_tool(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(tmp_path / "none"))
    done = cli("convert", "--to", "espdl", "--int8", "-o", tmp_path / "out")
    assert done.code == 3
    assert "ultraface-deploy tools install esp" in done.error
    assert not (tmp_path / "out").exists()
    done = cli("convert", "--to", "espdl", "-o", tmp_path / "out")
    assert done.code == 2
    assert "espdl does not offer fp32; it offers int8" in done.error


@pytest.mark.parametrize("off", [0.0, 0.25])
def test_a_file_that_computes_other_numbers_than_its_maker(
    small: Path, tmp_path: Path, off: float
) -> None:
    tensors = np.random.default_rng(2).uniform(-1, 1, (2, 3, 9, 12)).astype(np.float32)
    wanted = np.stack([by_hand(each[None]) for each in tensors])
    wanted[1, 4, 0, 0] += off
    np.save(tmp_path / "inputs.npy", tensors)
    np.savez(tmp_path / "outputs.npz", c=wanted)
    if not off:
        require_the_same(small, tmp_path)
        return
    with pytest.raises(ToolFailed, match=r"other numbers than its executor \(c\)"):
        require_the_same(small, tmp_path)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tool's system calls to the network are written down, if there is strace."""
    return tmp_path_factory.mktemp("calls") / "calls"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> ArtifactFolder:
    """A small folder with a file for the P4, in a folder with quotes in its name."""
    from ultraface_deploy.artifacts.convert import convert
    from ultraface_deploy.artifacts.source import resolve_source

    output = tmp_path_factory.mktemp("espdl") / 'it\'s "espdl"'
    source = resolve_source("slim-320", (128, 96))
    with pytest.MonkeyPatch.context() as patch:
        if shutil.which("strace") is not None:
            watched = tmp_path_factory.mktemp("tools") / "esp" / "bin" / "python"
            watched.parent.mkdir(parents=True)
            watch = f"strace -f -e trace=network -o '{calls}'"
            watched.write_text(f'#!/bin/sh\nexec {watch} "{toolbox.installed("esp")}" "$@"\n')
            watched.chmod(0o755)
            patch.setenv("ULTRAFACE_DEPLOY_TOOLS", str(watched.parents[2]))
        return convert(source, ["espdl"], "int8", output)


@needs_tool
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_tool_asks_nobody(made: ArtifactFolder, calls: Path) -> None:
    said = calls.read_text()
    assert "exited with 0" in said
    assert "sin_port" not in said and "sin6_port" not in said and "sendto" not in said


@needs_tool
def test_the_manifest_says_how_it_was_compared(made: ArtifactFolder) -> None:
    artifact = made.find("espdl", "int8")
    assert artifact.verified
    assert artifact.verification is not None
    assert artifact.verification["compared_by"] == "interpreter"
    (file,) = made.files(artifact)
    assert get_format("espdl").stated_spec([file]) == made.spec
    # A third of FP32: bytes, and the exponents of each channel.
    assert file.stat().st_size < 0.4 * made.find("onnxsim").bytes
    remarks = Program.read(file).remarks
    assert json.loads(remarks[METADATA_KEY])["name"] == made.spec.name


@needs_tool
def test_verified_but_not_timed(made: ArtifactFolder, cli: Cli) -> None:
    (file,) = made.files(made.find("espdl", "int8"))
    for model_ in (made.path, file):
        done = cli("bench", "run", model_, "--backend", "espdl", "--precision", "int8")
        assert done.code == 2
        assert "milliseconds" in done.error
    done = cli("verify", made.path, "--backend", "espdl", "--json", "-")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["compared_by"] == "interpreter" and result["detections"]


@needs_tool
def test_one_photograph_is_no_calibration(tmp_path: Path, cli: Cli) -> None:
    photos = tmp_path / "one"
    photos.mkdir()
    shutil.copy(DEMO_PHOTO, photos)
    arguments = ["--to", "espdl", "--int8", "--calibration", photos, "-o", tmp_path / "out"]
    done = cli("convert", *arguments)
    assert done.code == 2
    assert "holds one photograph" in done.error


@needs_tool
def test_a_file_with_a_damaged_description(made: ArtifactFolder, tmp_path: Path) -> None:
    (file,) = made.files(made.find("espdl", "int8"))
    damaged = tmp_path / "damaged.espdl"
    content = file.read_bytes()
    damaged.write_bytes(content.replace(b'"architecture"', b'"architexture"', 1))
    with pytest.raises(InputError, match="description is damaged"):
        get_format("espdl").stated_spec([damaged])
    damaged.write_bytes(content[:5000])
    with pytest.raises(BackendError, match="espdl cannot run it"):
        get_backend("espdl").load([damaged], made.spec, precision="int8")
