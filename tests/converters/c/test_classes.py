"""A network of three classes as C: the bytes, the numbers, the labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import Convert
from tests.converters.c.conftest import (
    SETS,
    Case,
    Library,
    compile_library,
    needs,
    pictures,
    write_sources,
)
from ultraface_deploy import models
from ultraface_deploy.converters.c import reference
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.pipeline import PostprocessOptions, postprocess
from ultraface_deploy.quantize.calibrate import calibrate
from ultraface_deploy.safe.images import DEMO_PHOTO, embedded_images

pytest.importorskip("torch", reason="the network is a checkpoint of its own")
SIZE = (160, 120)


def three_classes(path: Path) -> Path:
    """The embedded RFB network with a second kind of face, which it finds by other anchors."""
    import torch

    state = torch.load(models.FOLDER / "rfb-320.pth", weights_only=True)["state_dict"]
    for name, values in state.items():
        if name.startswith("classification_headers") and len(values) in (4, 6):
            background, face = values[0::2], values[1::2]
            state[name] = torch.stack([background, face, face.flip(0)], 1).flatten(0, 1)
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def case(converted: Convert, tmp_path_factory: pytest.TempPathFactory) -> Case:
    made = tmp_path_factory.mktemp("three")
    folder = converted(three_classes(made / "three-rfb.pth"), "onnxsim", size=SIZE)
    network, model = load_network(folder.files(folder.find("onnxsim"))[0])
    table = calibrate(network, OnnxExecutor(network, model), folder.spec, list(embedded_images()))
    return write_sources(folder, table, made)


def opened(case: Case, source: Path) -> Library:
    output = source.with_suffix(".so")
    return Library(compile_library([needs("cc")], source, output, "-O1"), case.spec)


def test_three_classes_give_the_same_bytes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    library = opened(case, case.source)
    for picture in pictures(case.spec, 1):
        wanted = reference.run(case.int8, picture)
        assert wanted["scores"].shape[2] == 3
        for kernels in SETS:
            monkeypatch.setenv("ULTRAFACE_KERNELS", kernels)
            if library.kernels == kernels:
                found = library.run(picture, threads=2)
                np.testing.assert_array_equal(found["scores"], wanted["scores"], kernels)
                np.testing.assert_array_equal(found["boxes"], wanted["boxes"], kernels)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_every_class_has_its_faces(case: Case, precision: str) -> None:
    library = opened(case, case.source if precision == "int8" else case.float_source)
    picture = np.asarray(cv2.resize(cv2.imread(str(DEMO_PHOTO)), SIZE), np.uint8)
    outputs = library.run(picture)
    # So that both labels are among the faces.
    threshold = float(outputs["scores"][0, :, 1:].max(axis=0).min()) * 0.5
    options = PostprocessOptions(score_threshold=threshold)
    wanted = postprocess(outputs["scores"], outputs["boxes"], case.spec, SIZE, options)
    found = library.detect(picture, threshold=threshold)
    assert set(wanted.labels.tolist()) == {1, 2}
    assert sorted(found[:, 5].tolist()) == sorted(wanted.labels.tolist())
    for label in (1, 2):
        ours, theirs = found[found[:, 5] == label], wanted.labels == label
        np.testing.assert_allclose(ours[:, 4], wanted.scores[theirs], atol=1e-5)
        np.testing.assert_allclose(ours[:, :4], wanted.boxes[theirs], atol=0.05)
