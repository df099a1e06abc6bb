"""YuNet against OpenCV's own reading of the same network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ultraface_deploy.detect.yunet import YuNet
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import PostprocessOptions, iou_matrix

pytest.importorskip("onnxruntime", reason="runs it")


def test_the_same_faces_as_in_opencv(shared: Path, photos: list[Path]) -> None:
    file = shared / "peers/yunet_n_320_320.onnx"
    ours = YuNet(file)
    theirs = cv2.FaceDetectorYN.create(str(file), "", (320, 320), 0.5, 0.3, 800)
    total = 0
    for path in photos[:6]:
        bgr = cv2.resize(cv2.imread(str(path)), (320, 320))
        _, rows = theirs.detect(bgr)
        found = ours.detect(bgr, 320, 320, PostprocessOptions(0.5, 0.3, "hard", 800))
        if rows is None:
            assert not len(found)
            continue
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], 1)
        overlaps = iou_matrix(boxes, found.boxes)
        assert overlaps.max(axis=1).min() > 0.98
        np.testing.assert_allclose(found.scores[overlaps.argmax(1)], rows[:, 14], atol=1e-3)
        # OpenCV rounds boxes to pixels before NMS, and so drops a few more of the smallest.
        assert len(rows) <= len(found) <= 1.1 * len(rows)
        total += len(rows)
    assert total > 5


def test_other_files_are_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a YuNet"):
        YuNet(shared / "reference/onnx/version-slim-320.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not ONNX at all")
    with pytest.raises(InputError, match="not an ONNX model"):
        YuNet(broken)
