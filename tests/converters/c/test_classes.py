"""A network of three classes as C: the bytes, the numbers, the labels."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import replace
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
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.c import reference
from ultraface_deploy.converters.c.emit import emit_int8
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


@pytest.mark.parametrize("compiler", [("cc", "-std=c99"), ("c++", "-std=c++11"), ("clang",)])
def test_classes_are_called_what_the_network_says(
    case: Case, tmp_path: Path, compiler: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever that is; a network without names has the bytes that it always had."""
    monkeypatch.setattr("ultraface_deploy.family.spec.check_class_names", lambda *_: None)
    program = needs(compiler[0])
    assert not any("class_name" in text for text in emit_int8(case.int8, "int8.h"))
    names = ('"*/ ??/\n\\" %s', "\u9854\U00020bb7 7'\u00e9\u00e91")
    assert len(names) == case.spec.num_classes - 1
    named = replace(case.int8, spec=replace(case.spec, class_names=names))
    source, header = emit_int8(named, "int8.h")
    stem = "names.cc" if compiler[0] == "c++" else "names.c"
    (tmp_path / stem).write_text(source)
    (tmp_path / "int8.h").write_text(header)
    warned = ["-Wall", "-Wextra", "-Werror", "-Wtrigraphs"]
    output = ["-shared", "-fPIC", "-o", str(tmp_path / "names.so"), str(tmp_path / stem)]
    subprocess.run([program, *compiler[1:], *warned, *output], check=True)
    name_of = ctypes.CDLL(str(tmp_path / "names.so")).ultraface_class_name
    name_of.restype = ctypes.c_char_p
    called = [name_of(label) for label in (-(2**31), -1, 0, 1, 2, 3, 2**31 - 1)]
    wanted = [name.encode() for name in names]
    assert called == [None, None, None, *wanted, None, None]
    (tmp_path / "names.h").write_text(header)
    stated = get_format("c").stated_spec((tmp_path / stem, tmp_path / "names.h"))
    assert stated is not None
    assert stated.class_names == names


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
