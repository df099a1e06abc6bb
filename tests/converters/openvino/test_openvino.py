"""OpenVINO files: what they hold and say, INT8 after our plan, damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.conftest import Cli, Convert, MakeCheckpoint, noise
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.converters.openvino.convert import convert_onnx, convert_plan
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.quantize.calibrate import calibrate
from ultraface_deploy.quantize.plan import Scheme, make_plan

pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.fixture(scope="module", params=["slim", "rfb"])
def small(
    request: pytest.FixtureRequest, converted: Convert, make_checkpoint: MakeCheckpoint
) -> ArtifactFolder:
    return converted(make_checkpoint(request.param), "onnxsim", "openvino", size=(128, 96))


def source(folder: ArtifactFolder) -> Path:
    return folder.files(folder.find("onnxsim"))[0].resolve()


def test_says_what_it_is(small: ArtifactFolder) -> None:
    files = small.files(small.find("openvino"))
    record = get_format("openvino")
    record.check(files)
    assert record.stated_spec(files) == small.spec


def test_two_writings_are_the_same_bytes(small: ArtifactFolder, tmp_path: Path) -> None:
    written = small.files(small.find("openvino"))
    again = [tmp_path / "again.xml", tmp_path / "again.bin"]
    convert_onnx(source(small), again, small.spec)
    for first, second in zip(written, again, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_fp16_halves_the_weights(small: ArtifactFolder, tmp_path: Path) -> None:
    half = [tmp_path / "half.xml", tmp_path / "half.bin"]
    convert_onnx(source(small), half, small.spec, half=True)
    full = small.files(small.find("openvino"))[1].stat().st_size
    assert half[1].stat().st_size == pytest.approx(full / 2, rel=0.02)


def test_int8_rounds_as_the_plan_says(small: ArtifactFolder, tmp_path: Path) -> None:
    """Against ONNX Runtime on the same plan: two runtimes, one rounding."""
    network, model = load_network(source(small))
    executor = OnnxExecutor(network, model)
    picture = noise(128, 96)
    table = calibrate(network, executor, small.spec, [picture])
    plan = make_plan(network, table, Scheme(keep=(network.layers[0].name,)))
    files = [tmp_path / "net.xml", tmp_path / "net.bin"]
    convert_plan(plan, model, files, small.spec, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.bin", "net.xml"]
    tensor = preprocess(picture, small.spec)
    found = get_backend("openvino").load(files, small.spec, precision="int8").run(tensor)
    rounded, exact = executor.outputs([tensor], plan)[0], executor.outputs([tensor])[0]
    for name, ours, theirs in zip(("scores", "boxes"), rounded, exact, strict=True):
        # Each rounds ties in its own way, and a network of random weights carries that on: the
        # two are as far from FP32 as each other.
        assert 0.5 < rms(found[name] - theirs) / rms(ours - theirs) < 2, name
    # Integers are what is stored, and what is computed where the processor can.
    assert files[1].stat().st_size < 0.4 * small.files(small.find("openvino"))[1].stat().st_size
    session: Any = get_backend("openvino").load(files, small.spec)
    operations = session._request.get_compiled_model().get_runtime_model().get_ops()
    infos = [each.get_rt_info() for each in operations]
    kinds = [
        str(getattr(info["runtimePrecision"], "value", info["runtimePrecision"]))
        for info in infos
        if "Convolution" in str(getattr(info["layerType"], "value", info["layerType"]))
    ]
    assert sum(kind in ("i8", "u8") for kind in kinds) >= len(plan.quantized) * 0.6, kinds


def test_an_unknown_operator_is_named(small: ArtifactFolder, tmp_path: Path) -> None:
    model = onnx.load(str(source(small)))
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Softplus"
    strange = tmp_path / "strange.onnx"
    onnx.save(model, str(strange))
    files = [tmp_path / "strange.xml", tmp_path / "strange.bin"]
    with pytest.raises(InputError, match="is Softplus, which is not known"):
        convert_onnx(strange, files, small.spec)
    assert not any(file.exists() for file in files)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


DAMAGE: dict[str, tuple[int, Callable[[bytes], bytes], str]] = {
    "cut xml": (0, lambda content: content[: len(content) // 2], "or damaged"),
    "no network": (0, lambda content: b"<annotation><net/></annotation>", "or damaged"),
    "entities": (
        0,
        lambda content: content.replace(b"<net", b'<!DOCTYPE x [<!ENTITY a "b">]><net', 1),
        "defines entities",
    ),
    "short bin": (1, lambda content: content[: len(content) // 2], "ends before the constants"),
    "empty bin": (1, lambda content: b"", "ends before the constants"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused_before_the_runtime_sees_them(
    small: ArtifactFolder, tmp_path: Path, damage: str
) -> None:
    files = [Path(shutil.copy(file, tmp_path)) for file in small.files(small.find("openvino"))]
    place, change, problem = DAMAGE[damage]
    files[place].write_bytes(change(files[place].read_bytes()))
    with pytest.raises(InputError, match=problem) as caught:
        get_format("openvino").check(files)
    assert files[place].name in str(caught.value)


def test_the_bin_must_stand_beside(small: ArtifactFolder, tmp_path: Path, cli: Cli) -> None:
    shutil.copy(small.files(small.find("openvino"))[0], tmp_path / 'a "b".xml')
    done = cli("verify", tmp_path / 'a "b".xml')
    assert done.code == 2
    assert 'a "b".bin beside it, which is missing' in done.error
