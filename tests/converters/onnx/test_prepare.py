"""ONNX files: what is written into them, and what can be done to one without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy.converters.onnx.export import export
from ultraface_deploy.converters.onnx.files import load
from ultraface_deploy.converters.onnx.metadata import architecture_of, read_spec
from ultraface_deploy.converters.onnx.opset import OPSET
from ultraface_deploy.converters.onnx.prepare import prepare
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import decode, make_anchors


@pytest.fixture(scope="module", params=["slim", "rfb"])
def original(
    request: pytest.FixtureRequest, converted: Convert, make_checkpoint: MakeCheckpoint
) -> Path:
    folder = converted(make_checkpoint(request.param), "onnx", "onnxsim", size=(128, 96))
    return folder.files(folder.find("onnx"))[0]


@pytest.fixture
def model(original: Path) -> onnx.ModelProto:
    return load(original)


def stated(model: onnx.ModelProto) -> ModelSpec:
    spec = read_spec(model)
    assert spec is not None
    return spec


def run(model: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (source,) = session.get_inputs()
    tensor = np.random.default_rng(seed).uniform(-1, 1, source.shape).astype(np.float32)
    names = ["scores", "boxes"]
    return dict(zip(names, session.run(names, {source.name: tensor}), strict=True))


def test_states_what_it_is(model: onnx.ModelProto) -> None:
    spec = stated(model)
    assert (spec.width, spec.height, spec.head, spec.mean) == (128, 96, "raw", (127.0,) * 3)
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["scores", "boxes"]
    assert model.opset_import[0].version == OPSET


def test_every_node_has_a_name_of_its_own(original: Path) -> None:
    for path in (original, original.with_suffix(".sim.onnx")):
        names = [node.name for node in load(path).graph.node]
        assert all(names)
        assert len(set(names)) == len(names)


def test_simplified_has_nothing_left_to_fold(original: Path) -> None:
    simplified = load(original.with_suffix(".sim.onnx"))
    kinds = {node.op_type for node in simplified.graph.node}
    assert kinds <= {"Conv", "Relu", "Transpose", "Reshape", "Concat", "Softmax", "Add", "Mul"}
    count = len(simplified.graph.node)
    assert count <= (110 if architecture_of(simplified) == "rfb" else 95)


def test_dilation_tells_rfb(model: onnx.ModelProto) -> None:
    assert architecture_of(model) == stated(model).architecture


def test_decoding_appended_is_the_pipelines(model: onnx.ModelProto) -> None:
    raw = stated(model)
    decoded = prepare(model, raw, replace(raw, head="decoded"))
    assert stated(decoded).head == "decoded"
    offsets, corners = run(model), run(decoded)
    np.testing.assert_array_equal(offsets["scores"], corners["scores"])
    expected = decode(offsets["boxes"][0], make_anchors(raw), 0.1, 0.2)
    np.testing.assert_allclose(corners["boxes"][0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (130, 99), (320, 240)])
def test_another_size_equals_exporting_at_it(
    model: onnx.ModelProto, make_checkpoint: MakeCheckpoint, size: tuple[int, int]
) -> None:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    current = stated(model)
    wanted = current.resized(*size)
    resized = prepare(model, current, wanted)
    checkpoint = load_checkpoint(make_checkpoint(current.architecture))
    exported = export(checkpoint.build(), wanted)
    expected = run(exported)
    for key, value in run(resized).items():
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-5)


def test_decoded_head_cannot_be_taken_back(model: onnx.ModelProto) -> None:
    raw = stated(model)
    decoded = replace(raw, head="decoded")
    baked = prepare(model, raw, decoded)
    for wanted in (raw, decoded.resized(64, 64)):
        with pytest.raises(InputError, match="anchors are baked in"):
            prepare(baked, decoded, wanted)
    prepare(baked, decoded, replace(decoded, name="other"))


def test_prepare_leaves_its_argument_alone(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    raw = stated(model)
    prepare(model, raw, replace(raw.resized(64, 64), head="decoded"))
    assert model.SerializeToString(deterministic=True) == before


def test_export_is_reproducible(model: onnx.ModelProto, make_checkpoint: MakeCheckpoint) -> None:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    spec = stated(model)
    nets = [load_checkpoint(make_checkpoint(spec.architecture)).build() for _ in range(2)]
    first, second = (
        prepare(export(net, spec), spec, spec).SerializeToString(deterministic=True) for net in nets
    )
    assert first == second


def damaged(path: Path) -> Iterator[tuple[str, bytes]]:
    content = path.read_bytes()
    yield "truncated", content[: len(content) // 2]
    yield "head only", content[:40]
    yield "text", b"this is text\n" * 10
    yield "zeros", bytes(1000)
    yield "other protobuf", helper.make_tensor("x", 1, [1], [1.0]).SerializeToString()


def test_damaged_files(original: Path, tmp_path: Path) -> None:
    for name, content in damaged(original):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not an ONNX model, or damaged") as refused:
            load(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", [{"data_type": 33}, {"raw_data": bytes(12)}])
def test_weights_that_are_not_what_they_claim(
    model: onnx.ModelProto, tmp_path: Path, change: dict[str, Any]
) -> None:
    """The checker of onnx passes both."""
    for key, value in change.items():
        setattr(model.graph.initializer[0], key, value)
    path = tmp_path / "claims.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="not an ONNX model, or damaged"):
        load(path)


def test_weights_that_are_not_finite_are_named(model: onnx.ModelProto, tmp_path: Path) -> None:
    weights = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)
    values = numpy_helper.to_array(weights).copy()
    values.flat[0] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(InputError, match=f"{weights.name} holds values that are not finite"):
        load(tmp_path / "nan.onnx")


def test_constants_that_are_not_what_they_claim(model: onnx.ModelProto, tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.array([1, -1, 4]), "shape")
    constant.raw_data = constant.raw_data[:12]
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=constant))
    path = tmp_path / "claims.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="not an ONNX model, or damaged"):
        load(path)


def test_weights_in_other_files_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    """An ONNX file can name any path of this machine as its weights."""
    path = tmp_path / "external.onnx"
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/hostname"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"external.onnx: keeps its weights in other files"):
        load(path)


def test_old_exporters_list_weights_among_the_inputs(model: onnx.ModelProto) -> None:
    spec = stated(model)
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    assert [value.name for value in prepare(model, spec, spec).graph.input] == ["input"]


def test_published_files_have_no_names_and_get_some(shared: Path) -> None:
    path = shared / "reference/onnx/version-slim-320_without_postprocessing.onnx"
    model = load(path)
    assert not any(node.name for node in model.graph.node)
    assert read_spec(model) is None
    spec = ModelSpec("mine", "slim")
    named = prepare(model, spec, spec)
    assert all(node.name for node in named.graph.node)
    assert stated(named) == spec
    found, wanted = run(named), run(model)
    np.testing.assert_allclose(found["scores"], wanted["scores"], rtol=0, atol=1e-6)


def test_published_file_at_another_size(shared: Path) -> None:
    """Without torch a published raw-head file serves every input size."""
    path = shared / "reference/onnx/version-RFB-320_without_postprocessing.onnx"
    current = ModelSpec("rfb-320", "rfb")
    wanted = current.resized(160, 120)
    resized = run(prepare(load(path), current, wanted))
    assert resized["scores"].shape == (1, wanted.num_anchors, 2)
    torch = pytest.importorskip("torch")
    from ultraface_deploy.family.checkpoint import load_checkpoint
    from ultraface_deploy.family.nets import deployed

    net = load_checkpoint(shared / "checkpoints/version-RFB-320.pth").build()
    tensor = np.random.default_rng(0).uniform(-1, 1, wanted.input_shape).astype(np.float32)
    with torch.inference_mode():
        scores, boxes = deployed(net, wanted)(torch.from_numpy(tensor))
    np.testing.assert_allclose(resized["scores"], scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(resized["boxes"], boxes, rtol=0, atol=1e-4)
