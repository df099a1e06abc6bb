"""The torch networks against the published ONNX files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from tests.conftest import random_network
from ultraface_deploy.family.spec import Head, ModelSpec
from ultraface_deploy.pipeline import decode, make_anchors, preprocess

torch = pytest.importorskip("torch", reason="the networks are written in torch")

PUBLISHED: list[tuple[str, str, Head]] = [
    ("version-slim-320.onnx", "slim-320", "decoded"),
    ("version-slim-320_simplified.onnx", "slim-320", "raw"),
    ("version-slim-320_without_postprocessing.onnx", "slim-320", "raw"),
    ("version-RFB-320.onnx", "RFB-320", "decoded"),
    ("version-RFB-320_simplified.onnx", "RFB-320", "raw"),
    ("version-RFB-320_without_postprocessing.onnx", "RFB-320", "raw"),
    ("version-RFB-640.onnx", "RFB-640", "decoded"),
]


@pytest.fixture(scope="module")
def photographs(photos: list[Path]) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in photos]


@pytest.mark.parametrize(("file", "name", "head"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_equals_the_published_file(
    shared: Path, photographs: list[np.ndarray], file: str, name: str, head: Head
) -> None:
    from ultraface_deploy.family.checkpoint import load_checkpoint
    from ultraface_deploy.family.nets import deployed

    checkpoint = load_checkpoint(shared / "checkpoints" / f"version-{name}.pth")
    spec = replace(checkpoint.spec, head=head)
    network = deployed(checkpoint.build(), spec)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    published = onnxruntime.InferenceSession(str(shared / "reference/onnx" / file), options)
    (source,) = published.get_inputs()
    assert source.shape == list(spec.input_shape)
    for photo in photographs:
        tensor = preprocess(photo, spec)
        names = ["scores", "boxes"]
        wanted = dict(zip(names, published.run(names, {source.name: tensor}), strict=True))
        with torch.inference_mode():
            scores, boxes = network(torch.from_numpy(tensor))
        np.testing.assert_allclose(scores, wanted["scores"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(boxes, wanted["boxes"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("size", [(64, 64), (65, 99), (320, 240)])
def test_shapes_at_any_size(architecture: str, classes: int, size: tuple[int, int]) -> None:
    spec = ModelSpec("net", architecture, *size, num_classes=classes)  # type: ignore[arg-type]
    net = random_network(spec.architecture, classes)
    with torch.inference_mode():
        logits, offsets = net(torch.zeros(2, *spec.input_shape[1:]))
    assert logits.shape == (2, spec.num_anchors, classes)
    assert offsets.shape == (2, spec.num_anchors, 4)


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
def test_decoded_head_is_the_pipelines_decoding(architecture: str) -> None:
    from ultraface_deploy.family.nets import deployed

    raw = ModelSpec("net", architecture, 160, 120)  # type: ignore[arg-type]
    net = random_network(raw.architecture)
    x = torch.rand(1, 3, 120, 160) * 2 - 1
    with torch.inference_mode():
        scores, offsets = deployed(net, raw)(x)
        same_scores, corners = deployed(net, replace(raw, head="decoded"))(x)
    np.testing.assert_array_equal(scores, same_scores)
    np.testing.assert_allclose(scores.sum(2), 1, rtol=1e-6)
    expected = decode(offsets[0].numpy(), make_anchors(raw), 0.1, 0.2)
    np.testing.assert_allclose(corners[0], expected, rtol=1e-5, atol=1e-6)


def test_images_of_a_batch_do_not_mix() -> None:
    net = random_network("rfb")
    x = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        together = net(x)
        alone = net(x[1:2])
    for whole, single in zip(together, alone, strict=True):
        np.testing.assert_allclose(whole[1:2], single, rtol=1e-4, atol=1e-5)


def test_multiplications_are_as_published() -> None:
    """81.4 M multiply-adds for slim at 320x240, 100.4 M for RFB."""
    for architecture, millions in (("slim", 81.4), ("rfb", 100.4)):
        total = 0

        def count(module: object, inputs: object, output: object) -> None:
            nonlocal total
            assert isinstance(module, torch.nn.Conv2d)
            total += output.numel() * module.weight[0].numel()  # type: ignore[attr-defined]

        net = random_network(architecture)  # type: ignore[arg-type]
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        with torch.inference_mode():
            net(torch.zeros(1, 3, 240, 320))
        assert total / 1e6 == pytest.approx(millions, abs=0.1)
