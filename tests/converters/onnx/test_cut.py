"""ONNX files that end at the head's convolutions: cut, recognised, put back together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.conftest import Cli, Convert, MakeCheckpoint, noise
from ultraface_deploy.artifacts.recognition import spec_of_file
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters.onnx.files import load, save
from ultraface_deploy.converters.onnx.metadata import read_spec
from ultraface_deploy.converters.onnx.prepare import prepare
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import join_maps, map_outputs, preprocess, read_head


@pytest.fixture(scope="module", params=["slim", "rfb"])
def raw(
    request: pytest.FixtureRequest, converted: Convert, make_checkpoint: MakeCheckpoint
) -> Path:
    folder = converted(make_checkpoint(request.param), "onnx", "onnxsim", size=(128, 96))
    return folder.files(folder.find("onnxsim"))[0]


def stated(model: onnx.ModelProto) -> ModelSpec:
    spec = read_spec(model)
    assert spec is not None
    return spec


def cut_file(raw: Path, folder: Path) -> Path:
    model = load(raw)
    spec = stated(model)
    save(prepare(model, spec, replace(spec, head="conv")), folder / "cut.onnx")
    return folder / "cut.onnx"


def foreign_file(raw: Path, folder: Path) -> Path:
    """A cut file as somebody else would have made it: other names, other order, no metadata."""
    model = load(cut_file(raw, folder))
    del model.metadata_props[:]
    names = {
        value.name: f"conv_{len(value.name)}{place}"
        for place, value in enumerate(model.graph.output)
    }
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    outputs = list(reversed(model.graph.output))
    for value in outputs:
        value.name = names[value.name]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    onnx.save(model, folder / "foreign.onnx")
    return folder / "foreign.onnx"


def test_cut_ends_at_convolutions_and_computes_the_same(raw: Path, tmp_path: Path) -> None:
    cut = load(cut_file(raw, tmp_path))
    spec = stated(cut)
    assert spec.head == "conv"
    assert [value.name for value in cut.graph.output] == [each.name for each in map_outputs(spec)]
    makers = {tensor: node.op_type for node in cut.graph.node for tensor in node.output}
    assert {makers[value.name] for value in cut.graph.output} == {"Conv"}
    assert not {"Softmax", "Reshape", "Transpose"} & {node.op_type for node in cut.graph.node}
    # ONNX Runtime by itself, without our backend between.
    tensor = preprocess(noise(90, 70), spec)
    maps = onnxruntime.InferenceSession(str(tmp_path / "cut.onnx")).run(None, {"input": tensor})
    whole = onnxruntime.InferenceSession(str(raw)).run(["scores", "boxes"], {"input": tensor})
    joined = join_maps(maps, spec)
    np.testing.assert_allclose(joined["scores"], whole[0], atol=1e-6)
    np.testing.assert_allclose(joined["boxes"], whole[1], atol=1e-5)


def test_a_foreign_cut_file_runs_and_is_recognised(raw: Path, tmp_path: Path) -> None:
    file = foreign_file(raw, tmp_path)
    spec = spec_of_file(file)
    assert (spec.head, spec.num_classes, spec.width) == ("conv", 2, 128)
    tensor = preprocess(noise(90, 70), spec)
    found = get_backend("onnxruntime").load([file], spec).run(tensor)
    wanted = get_backend("onnxruntime").load([raw], replace(spec, head="raw")).run(tensor)
    np.testing.assert_allclose(found["scores"], wanted["scores"], atol=1e-6)


@pytest.mark.parametrize("head", ["raw", "decoded"])
def test_the_rest_of_the_head_can_be_put_back(raw: Path, tmp_path: Path, head: str) -> None:
    foreign = load(foreign_file(raw, tmp_path))
    whole = load(raw)
    spec = stated(whole)
    current = replace(spec, head="conv")
    wanted = replace(spec, head=head)  # type: ignore[arg-type]
    made = prepare(foreign, current, wanted)
    expected = prepare(whole, spec, wanted)
    tensor = preprocess(noise(90, 70), spec)
    for found, truth in zip(_run(made, tensor), _run(expected, tensor), strict=True):
        np.testing.assert_allclose(found, truth, atol=1e-5)


def test_cut_at_another_size(raw: Path) -> None:
    model = load(raw)
    spec = stated(model)
    cut = prepare(model, spec, replace(spec.resized(160, 128), head="conv"))
    again = prepare(cut, stated(cut), stated(cut).resized(128, 96))
    for found in (cut, again):
        wanted = stated(found)
        shapes = [tuple(each.shape) for each in _run(found, preprocess(noise(9, 9), wanted))]
        assert shapes == [each.shape for each in map_outputs(wanted)]


def test_convert_writes_what_is_to_be_done_with_the_outputs(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, cli: Cli
) -> None:
    output = tmp_path / "it's $cut"
    arguments = ["--head", "conv", "--input-size", "64x64", "--name", "it.s", "-o", output]
    done = cli("convert", make_checkpoint(), "--to", "onnx", "--allow-no-faces", *arguments)
    assert done.code == 0, done.err
    spec = read_head(output / "it.s.head.json")
    assert (spec.head, spec.width) == ("conv", 64)
    assert cli("verify", output, "--allow-no-faces").code == 0


def test_a_cut_network_finds_the_same_faces(tmp_path: Path, cli: Cli) -> None:
    """Of a trained network: one without faces agrees with anything."""
    pytest.importorskip("torch", reason="the reference is the torch network")
    arguments = ["slim-320", "--head", "conv", "--input-size", "160x128"]
    done = cli("convert", *arguments, "--to", "onnx", "-o", tmp_path / "cut")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--to", "mnn"), "mnn is not offered with --head conv"),
        (("--to", "onnx", "--int8"), "--head conv with --int8"),
        (("--to", "onnx", "--head", "cone"), "--head cone: unknown; choose from raw"),
    ],
)
def test_what_a_cut_network_cannot_be_is_refused_at_once(
    arguments: tuple[str, ...], problem: str, tmp_path: Path, cli: Cli
) -> None:
    done = cli("convert", "slim-320", "--head", "conv", *arguments, "-o", tmp_path / "cut")
    assert done.code == 2
    assert done.error.startswith(problem)
    assert not (tmp_path / "cut").exists()


def test_a_head_of_another_build_is_not_cut(raw: Path) -> None:
    model = load(raw)
    # What it says of itself is not what its convolutions make.
    spec = replace(stated(model), num_classes=3)
    with pytest.raises(InputError, match="cannot be cut there"):
        prepare(model, spec, replace(spec, head="conv"))


def _run(model: onnx.ModelProto, tensor: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return list(session.run(None, {session.get_inputs()[0].name: tensor}))
