"""The published Caffe pairs and our own from the published checkpoints, on photographs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from tests.converters.caffe.conftest import Array, exported, run_onnx, simplify
from tests.converters.caffe.executor import run_net
from ultraface_deploy.converters.caffe import read_caffe, write_caffe
from ultraface_deploy.converters.caffe.reader import read_net, weight_array
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import iou_matrix, postprocess, preprocess

PUBLISHED = {"slim": "slim-320", "rfb": "RFB-320"}
CHECKPOINTS = ("slim-320", "RFB-320", "RFB-640", "slim-640")


def each_with(values: tuple[Any, Any]) -> list[Any]:
    """Every checkpoint with either value; one of the two is left to `make test-long`."""
    pairs = [
        (name, value, number % 2 == place)
        for number, name in enumerate(CHECKPOINTS)
        for place, value in enumerate(values)
    ]
    return [pytest.param(n, v, marks=[] if short else pytest.mark.long) for n, v, short in pairs]


@pytest.fixture(scope="module")
def photographs(photos: list[Path]) -> list[Array]:
    """BGR photographs of the published demo set."""
    return [cv2.imread(str(path)) for path in photos]


def network(checkpoint_path: Path, num_classes: int) -> tuple[ModelSpec, onnx.ModelProto]:
    """Return a published network; a third class is the face with a lower logit."""
    pytest.importorskip("torch", reason="checkpoints are read with torch")
    return _network(checkpoint_path, num_classes)


@cache
def _network(checkpoint_path: Path, num_classes: int) -> tuple[ModelSpec, onnx.ModelProto]:
    import torch

    from ultraface_deploy.family.checkpoint import load_checkpoint
    from ultraface_deploy.family.nets import UltraFace

    checkpoint = load_checkpoint(checkpoint_path)
    spec = checkpoint.spec
    if num_classes == 2:
        return spec, exported(checkpoint.build(), spec)
    state = dict(checkpoint.state_dict)
    for key in [key for key in state if key.startswith("classification_headers.")]:
        last = key.removeprefix("classification_headers.")[1:] in (".2.weight", ".2.bias")
        if last or key.startswith("classification_headers.3."):
            background, face = state[key][0::2], state[key][1::2]
            lower = face - 1 if key.endswith("bias") else face
            state[key] = torch.stack([background, face, lower], dim=1).flatten(0, 1)
    spec = replace(spec, num_classes=num_classes)
    net = UltraFace(spec.architecture, num_classes)
    net.load_state_dict(state, strict=False)
    return spec, exported(net.eval(), spec)


def run_opencv(pair: tuple[Path, Path], tensor: Array) -> dict[str, Array]:
    net = cv2.dnn.readNetFromCaffe(*map(str, pair))
    net.setInput(tensor)
    return dict(zip(("scores", "boxes"), net.forward(["scores", "boxes"]), strict=True))


@pytest.mark.parametrize(("name", "num_classes"), each_with((2, 3)))
def test_opencv_finds_the_same_faces(
    name: str, num_classes: int, shared: Path, photographs: list[Array], tmp_path: Path
) -> None:
    spec, model = network(shared / "checkpoints" / f"version-{name}.pth", num_classes)
    pair = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(simplify(model, spec), *pair)
    total = 0
    for photograph in photographs[::6]:
        tensor = preprocess(photograph, spec)
        size = photograph.shape[1], photograph.shape[0]
        outputs = run_onnx(model, tensor), run_opencv(pair, tensor)
        for key, tolerance in (("scores", 1e-4), ("boxes", 1e-3)):
            np.testing.assert_allclose(outputs[1][key], outputs[0][key], atol=tolerance)
        expected, found = (
            postprocess(output["scores"], output["boxes"], spec, size) for output in outputs
        )
        assert len(found.scores) == len(expected.scores)
        np.testing.assert_array_equal(found.labels, expected.labels)
        if len(expected.scores):
            # Not by their order, which the last bit decides among the surest.
            assert iou_matrix(found.boxes, expected.boxes).max(axis=1).min() > 0.99
        total += len(expected.scores)
    assert total > 10


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_weights_and_size_are_those_of_the_published_pair(
    architecture: str, shared: Path, tmp_path: Path
) -> None:
    name = PUBLISHED[architecture]
    spec, model = network(shared / "checkpoints" / f"version-{name}.pth", 2)
    pair = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(simplify(model, spec), *pair)
    published = shared / "reference" / "caffe" / f"{name}.prototxt"
    theirs = read_net(published, published.with_suffix(".caffemodel"))
    ours = read_net(*pair)
    # Both list the convolutions as the network was traced.
    convolutions = [[layer for layer in net.layer if layer.blobs] for net in (ours, theirs)]
    assert len(convolutions[0]) == len(convolutions[1]) == {"slim": 42, "rfb": 52}[architecture]
    for our, their in zip(*convolutions, strict=True):
        for our_blob, their_blob in zip(our.blobs, their.blobs, strict=True):
            ours_, theirs_ = weight_array(our_blob), weight_array(their_blob)
            scale = np.abs(theirs_).max()
            np.testing.assert_allclose(ours_, theirs_, rtol=1e-5, atol=1e-6 * scale)
    sizes = pair[1].stat().st_size, published.with_suffix(".caffemodel").stat().st_size
    assert abs(sizes[0] / sizes[1] - 1) < 0.02


@pytest.mark.parametrize("name", PUBLISHED.values())
def test_a_published_pair_reads_as_onnx(name: str, shared: Path, photographs: list[Array]) -> None:
    published = shared / "reference" / "caffe" / f"{name}.prototxt"
    pair = published, published.with_suffix(".caffemodel")
    model = read_caffe(*pair)
    original = onnx.load(shared / "reference" / "onnx" / f"version-{name}.onnx")
    spec = ModelSpec(name, "slim" if name == "slim-320" else "rfb")
    tensor = preprocess(photographs[0], spec)
    outputs = run_onnx(model, tensor)
    layers = run_net(read_net(*pair), {"input": tensor})
    scores = run_onnx(original, tensor)["scores"]
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-5)
    for key in ("scores", "boxes"):
        np.testing.assert_allclose(outputs[key], layers[key], atol=2e-5)
        np.testing.assert_allclose(outputs[key], run_opencv(pair, tensor)[key], atol=2e-5)


@pytest.mark.parametrize(("name", "head"), each_with(("decoded", "raw")))
def test_mnn_imports_our_pair(
    name: str, head: str, shared: Path, photographs: list[Array], tmp_path: Path
) -> None:
    pytest.importorskip("MNN", reason="its Caffe importer is in the MNN wheel")
    from ultraface_deploy.backends import get_backend
    from ultraface_deploy.converters.mnn.convert import run_tool

    spec, model = network(shared / "checkpoints" / f"version-{name}.pth", 2)
    spec = replace(spec, head=head)
    pair = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    simplified = simplify(model, spec)
    write_caffe(simplified, *pair)
    imported = tmp_path / "net.mnn"
    prototxt, caffemodel = map(str, pair)
    run_tool(
        "mnnconvert",
        [
            *("-f", "CAFFE", "--prototxt", prototxt, "--modelFile", caffemodel),
            *("--MNNModel", str(imported), "--bizCode", "test"),
        ],
    )
    tensor = preprocess(photographs[0], spec)
    outputs = get_backend("mnn").load([imported], spec).run(tensor)
    for key, value in run_onnx(simplified, tensor).items():
        np.testing.assert_allclose(outputs[key], value, atol={"scores": 1e-3, "boxes": 2e-3}[key])
