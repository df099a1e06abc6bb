"""More classes, another start, one channel: what is trained and what is taken over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import preprocess

torch = pytest.importorskip("torch", reason="training needs torch")

from ultraface_deploy.family.checkpoint import load_checkpoint  # noqa: E402
from ultraface_deploy.train.batches import normalise  # noqa: E402
from ultraface_deploy.train.data import Classes  # noqa: E402
from ultraface_deploy.train.loop import start_from  # noqa: E402
from ultraface_deploy.train.matching import Anchors, match, visible_faces  # noqa: E402
from ultraface_deploy.train.recipe import Recipe, Stage  # noqa: E402
from ultraface_deploy.train.run import train  # noqa: E402


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "images/train").mkdir(parents=True)
    (root / "labels/train").mkdir(parents=True)
    (root / "labels/train/classes.txt").write_text("mask\nFace\n")
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (96, 128, 3), np.uint8)
        cv2.imwrite(str(root / f"images/train/p{number}.png"), noise)
        (root / f"labels/train/p{number}.txt").write_text("0 0.3 0.4 0.3 0.4\n1 0.7 0.6 0.3 0.4\n")
    return root


def recipe(**changes: object) -> Recipe:
    stage = Stage("labels", 1, batch_size=2, warmup_steps=1, lr=0.001)
    return Recipe("slim", 64, 64, (stage,), holdouts=(0.3,), **changes)  # type: ignore[arg-type]


def test_several_classes_are_trained_and_started_from(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    two = Classes.in_order("face,mask")
    best = train([data], tmp_path / "run", recipe(), classes=two, report=said.append)
    loaded = load_checkpoint(best)
    assert loaded.spec.num_classes == 3 and (loaded.spec.width, loaded.spec.height) == (64, 64)
    assert loaded.spec.class_names == ("face", "mask")
    again = train([data], tmp_path / "again", recipe(), init=best, report=said.append)
    assert load_checkpoint(again).spec.num_classes == 2
    assert any("3 classes become 2" in line and "heads are new" in line for line in said)


def test_a_gray_network_is_trained_from_a_colour_one(data: Path, tmp_path: Path) -> None:
    colour = train([data], tmp_path / "colour", recipe())
    gray = train([data], tmp_path / "gray", recipe(color="gray"), init=colour)
    spec = load_checkpoint(gray).spec
    assert (spec.color, spec.channels) == ("gray", 1)


def test_what_fits_is_taken_over() -> None:
    from ultraface_deploy.family.checkpoint import Checkpoint
    from ultraface_deploy.family.nets import UltraFace

    first, net = UltraFace("slim", 2), UltraFace("slim", 3, channels=1)
    start = Checkpoint(first.state_dict(), ModelSpec("first", "slim"))
    before = net.state_dict()["classification_headers.0.2.weight"].clone()
    assert len(start_from(net, start)) == 2
    state = net.state_dict()
    assert torch.equal(state["classification_headers.0.2.weight"], before)
    assert torch.equal(
        state["regression_headers.0.2.weight"],
        first.state_dict()["regression_headers.0.2.weight"],
    )
    summed = first.state_dict()["base_net.0.0.weight"].sum(1, keepdim=True)
    assert torch.equal(state["base_net.0.0.weight"], summed)


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_training_reads_what_the_pipeline_reads(color: str) -> None:
    spec = ModelSpec("net", "slim", 64, 64, color=color, mean=(10, 20, 30))  # type: ignore[arg-type]
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    rgb = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)[None]
    # OpenCV makes gray by whole numbers: one level of rounding.
    tolerance = 1.01 / 128 if color == "gray" else 1e-6
    np.testing.assert_allclose(normalise(rgb, spec), preprocess(image, spec), atol=tolerance)


def test_anchors_carry_the_class_of_their_face() -> None:
    spec = ModelSpec("net", "slim", 128, 96)
    boxes = torch.tensor([[[0.1, 0.1, 0.4, 0.5], [0.6, 0.5, 0.9, 0.9]]])
    faces = visible_faces(boxes, torch.ones(1, 2), torch.tensor([[2, 1]]), 128, 96, 1.0)
    targets = match(faces, 1, Anchors(spec))
    assert set(targets.labels[0].tolist()) == {0, 1, 2}


def test_a_teacher_of_other_classes_is_refused(data: Path, tmp_path: Path) -> None:
    from ultraface_deploy.train.recipe import Role, Weights

    stage = Stage("learn", 1, batch_size=2, teachers=(Role("slim-320"),), weights=Weights(0.0, 1.0))
    plan = Recipe("slim", 64, 64, (stage,), holdouts=(0.0,))
    from ultraface_deploy import models

    teacher = models.FOLDER / "slim-320.pth"
    with pytest.raises(InputError, match="its teacher has 2 classes, this run trains 3"):
        train(
            [data],
            tmp_path / "run",
            plan,
            teachers=[teacher],
            classes=Classes.in_order("face,mask"),
        )
