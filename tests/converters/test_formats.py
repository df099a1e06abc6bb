"""Every converter at several sizes, heads, classes, channels, precisions, against torch itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from tests.conftest import Convert, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.backends import get_backend
from ultraface_deploy.family.spec import Architecture, Head
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.safe.images import DEMO_PHOTO

torch = pytest.importorskip("torch", reason="the reference is the torch network")


class Job(NamedTuple):
    architecture: Architecture
    size: tuple[int, int]
    head: Head = "raw"
    precision: Precision = "fp32"
    classes: int = 2
    channels: int = 3


# Every value of every choice with every converter; not every combination.
JOBS = [
    Job("rfb", (64, 64), "decoded", classes=3),
    Job("slim", (128, 96), "raw", "fp16"),
    Job("slim", (99, 65), "decoded"),
    Job("rfb", (160, 120), "decoded", "fp16"),
    # Sides beyond those that networks are trained at; the time goes with the area.
    Job("slim", (1280, 96), classes=3, channels=1),
    Job("rfb", (64, 960)),
]
LONG_JOBS = [
    Job("slim", (128, 96), "decoded", classes=3),
    Job("rfb", (99, 65)),
    Job("rfb", (240, 180), classes=3),
    Job("slim", (320, 240), "decoded"),
    Job("slim", (640, 480)),
    Job("rfb", (640, 480), "decoded"),
]
RUNTIMES = {
    "onnx": ("onnxruntime", "opencv"),
    "onnxsim": ("onnxruntime", "opencv"),
    "mnn": ("mnn",),
    "ncnn": ("ncnn",),
    "tflite": ("litert",),
    "openvino": ("openvino",),
}


@pytest.mark.parametrize(
    "job",
    [*JOBS, *(pytest.param(job, marks=pytest.mark.long) for job in LONG_JOBS)],
    ids=lambda job: "-".join(map(str, job)),
)
def test_equals_torch(converted: Convert, make_checkpoint: MakeCheckpoint, job: Job) -> None:
    # Half precision and decoding are promised for trained networks: offsets of random ones are
    # beyond what halves hold, and what they decode to is larger than any picture.
    half = job.precision == "fp16"
    trained = half or (job.head == "decoded" and job.classes == 2)
    file = models.FOLDER / f"{job.architecture}-320.pth"
    checkpoint = file if trained else make_checkpoint(job.architecture, job.classes, job.channels)
    targets = ("mnn", "ncnn", "tflite", "openvino") if half else tuple(RUNTIMES)
    folder = converted(checkpoint, *targets, size=job.size, head=job.head, precision=job.precision)
    spec = folder.spec
    assert (spec.width, spec.height, spec.head) == (*job.size, job.head)
    assert (spec.num_classes, spec.channels) == (job.classes, job.channels)
    tensor = preprocess(cv2.imread(str(DEMO_PHOTO)), spec)
    wanted = torch_outputs(checkpoint, spec, tensor)
    for target in targets:
        artifact = folder.find(target, job.precision)
        assert artifact.verification is not None
        assert artifact.verification["passed"]
        for runtime in RUNTIMES[target]:
            found = (
                get_backend(runtime)
                .load(folder.files(artifact), spec, precision=job.precision)
                .run(tensor)
            )
            tolerance = 5e-2 if job.precision == "fp16" else 1e-2 if runtime == "mnn" else 1e-4
            # Offsets of these random networks reach 20, ten times those of trained ones.
            for key, value in wanted.items():
                np.testing.assert_allclose(
                    found[key], value, rtol=0, atol=tolerance, err_msg=f"{key} of {runtime}"
                )


def torch_outputs(checkpoint: Any, spec: Any, tensor: np.ndarray) -> dict[str, np.ndarray]:
    from ultraface_deploy.family.checkpoint import load_checkpoint
    from ultraface_deploy.family.nets import deployed

    with torch.inference_mode():
        network = deployed(load_checkpoint(checkpoint).build(), spec)
        scores, boxes = network(torch.from_numpy(tensor))
    return {"scores": scores.numpy(), "boxes": boxes.numpy()}


def test_fp16_is_half_the_size(converted: Convert, make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint()
    converted(checkpoint, "mnn", "ncnn", size=(128, 96))
    folder = converted(checkpoint, "mnn", "ncnn", size=(128, 96), precision="fp16")
    for target in ("mnn", "ncnn"):
        ratio = folder.find(target, "fp16").bytes / folder.find(target).bytes
        assert 0.4 < ratio < 0.65, target
