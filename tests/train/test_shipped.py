"""What ships finds faces, as well as its model card says, and is not a copy of its teacher."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from ultraface_deploy import models
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.pipeline import PostprocessOptions
from ultraface_deploy.pipeline.view import View
from ultraface_deploy.wider import read_ground_truth, score

PROTOCOL = PostprocessOptions(score_threshold=0.02, candidates=800, top_k=400)
# Whether proportions are kept, and the AP below which nothing of ours would be worth shipping: the
# published checkpoint's (easy less its spread), or with kept proportions that of rfb-320.
FLOORS = {
    "slim-320": (False, (0.782, 0.680, 0.453)),
    "rfb-320": (False, (0.802, 0.701, 0.485)),
    "rfb-320-aspect": (True, (0.809, 0.713, 0.467)),
    "slim-640": (False, (0.855, 0.822, 0.606)),
    "rfb-640": (False, (0.860, 0.830, 0.640)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == models.DEFAULT_MODEL else [pytest.mark.long])
        for name in FLOORS
    ],
)
def test_accuracy_on_images_never_trained_on(name: str, shared: Path) -> None:
    pytest.importorskip("scipy", reason="the official ground truth is in MATLAB files")
    truth = read_ground_truth(shared / "wider/ground_truth_dev")
    file = models.FOLDER / str(models.find(name).onnx)
    kept, floor = FLOORS[name]
    detector = Detector.open(file, backend="onnxruntime", options=PROTOCOL, view=View(kept))
    found = {}
    for image in truth:
        bgr = cv2.imread(str(shared / f"wider/WIDER_val/images/{image.name}.jpg"))
        assert bgr is not None
        faces = detector.detect(bgr)
        found[image.name] = (faces.boxes, faces.scores)
    curves = score(found, truth)
    reached = [curves[part].ap for part in ("easy", "medium", "hard")]
    assert all(ap >= least for ap, least in zip(reached, floor, strict=True)), reached


@pytest.mark.parametrize("name", FLOORS)
def test_weights_are_no_copy_of_the_teachers(name: str, checkpoints: Path) -> None:
    published = f"version-{name.removesuffix('-aspect').replace('rfb', 'RFB')}.pth"
    theirs = load_checkpoint(checkpoints / published).state_dict
    ours = load_checkpoint(models.FOLDER / str(models.find(name).file)).state_dict
    for key, value in ours.items():
        if value.ndim > 1:
            similarity = torch.cosine_similarity(value.ravel(), theirs[key].ravel(), dim=0)
            assert not torch.equal(value, theirs[key]), key
            assert abs(float(similarity)) < 0.9999, key
