"""`--to caffe`: a pair in an artifact folder that OpenCV runs like the original network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy.converters import Conversion, get_format, target_names
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Head, ModelSpec

REMARKS = {
    "raw": "offsets, to be decoded on the anchors",
    "decoded": "corners x1 y1 x2 y2 in 0..1",
}


@pytest.mark.parametrize("head", REMARKS)
def test_a_pair_is_verified_and_explains_itself(
    head: Head, converted: Convert, make_checkpoint: MakeCheckpoint
) -> None:
    folder = converted(make_checkpoint("rfb", 3), "caffe", size=(128, 96), head=head)
    artifact = folder.find("caffe", "fp32")
    prototxt, caffemodel = folder.intact_files(artifact)
    assert (prototxt.suffix, caffemodel.suffix) == (".prototxt", ".caffemodel")
    assert artifact.verification is not None
    assert artifact.verification["passed"]
    lines = prototxt.read_text().splitlines()
    count = folder.spec.num_anchors
    assert lines[0].endswith(": face detector, rfb, 3 classes")
    assert lines[1] == "# input:  (1, 3, 96, 128) RGB, (x - 127) / 128"
    assert lines[2] == f"# scores: (1, {count}, 3) after softmax"
    assert lines[3] == f"# boxes:  (1, {count}, 4) {REMARKS[head]}"


def test_only_fp32(tmp_path: Path) -> None:
    assert "caffe" in target_names()
    outputs = tmp_path / "a.prototxt", tmp_path / "a.caffemodel"
    job = Conversion((tmp_path / "a.onnx",), ModelSpec("a", "slim"), "fp16", outputs)
    with pytest.raises(InputError, match="caffe does not offer fp16; it offers fp32"):
        get_format("caffe").convert(job)
