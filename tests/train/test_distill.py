"""Distillation: a student that is its teacher has nothing to learn."""

from __future__ import annotations

import copy

import pytest
import torch

from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import Architecture, ModelSpec
from ultraface_deploy.pipeline import make_anchors
from ultraface_deploy.train.batches import Batch, levels
from ultraface_deploy.train.distill import (
    AnchorMap,
    convolutions,
    fused,
    nearest_anchors,
    output_loss,
)
from ultraface_deploy.train.matching import FACE, Anchors, FaceList, match
from ultraface_deploy.train.objective import Objective
from ultraface_deploy.train.recipe import Role, Stage, Weights

SMALL = ModelSpec("small", "slim", 64, 64)
TEACHER = (Role("teacher"),)
LAYERWISE = Stage(
    "layers", 1, freeze_bn=True, layerwise=True, teachers=TEACHER, weights=Weights(0, features=1)
)
CPU = torch.device("cpu")


def teacher_of(architecture: Architecture, seed: int = 0) -> Checkpoint:
    """A random network whose BatchNorms have seen something."""
    torch.manual_seed(seed)
    net = UltraFace(architecture).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # take the one batch for the truth
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64))
    spec = ModelSpec("teacher", architecture, 64, 64)
    return Checkpoint(copy.deepcopy(net.eval().state_dict()), spec)


def batch_of(count: int = 2, size: int = 64) -> Batch:
    """Noise, seen alike by student and teacher, without faces."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    nothing = torch.zeros(0, dtype=torch.int64)
    faces = FaceList(torch.zeros(0, 4), nothing, nothing.bool(), torch.zeros(0), nothing)
    spec = ModelSpec("x", "slim", size, size)
    return Batch(spec, Anchors(spec), images, faces, {}, {1.0: levels(images)})


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
def test_folding_batchnorms_changes_no_output(architecture: Architecture) -> None:
    net, x = teacher_of(architecture).build(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(fused(net)(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
@pytest.mark.parametrize("layerwise", [True, False])
def test_a_copy_of_the_teacher_has_no_loss(architecture: Architecture, layerwise: bool) -> None:
    teacher = teacher_of(architecture)
    weights = Weights(0, outputs=1, boxes=1, features=1)
    stage = Stage("copy", 1, freeze_bn=True, layerwise=layerwise, teachers=TEACHER, weights=weights)
    objective = Objective(teacher.build(), stage, [teacher], CPU).train()
    objective.scales = [torch.ones(1)] * len(convolutions(objective.student))
    assert float(objective(batch_of())["total"].detach()) < 1e-6
    other = Objective(teacher_of(architecture, seed=5).build(), stage, [teacher], CPU).train()
    other.scales = objective.scales
    assert float(other(batch_of())["total"].detach()) > 1e-3


def test_layers_learn_alone() -> None:
    """The gradient of one layer's loss stays in that layer: its input is the teacher's."""
    student = teacher_of("slim", seed=5).build()
    objective = Objective(student, LAYERWISE, [teacher_of("slim")], CPU)
    objective.measure([batch_of()])
    objective.train()(batch_of())
    objective._run_layers()[5].square().sum().backward()
    touched = [
        [parameter.grad is not None for parameter in (conv.weight, norm.weight)]
        for conv, norm in convolutions(objective.student)
        if norm is not None
    ]
    assert [number for number, grads in enumerate(touched) if any(grads)] == [5]
    assert all(touched[5])


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
def test_measuring_starts_each_layer_at_the_teachers_mean_and_deviation(
    architecture: Architecture,
) -> None:
    teacher, student = teacher_of(architecture), teacher_of(architecture, seed=5).build()
    momenta = [m.momentum for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    objective = Objective(student, LAYERWISE, [teacher], CPU)
    batch = batch_of(8, size=128)
    objective.measure([batch])
    objective.train()(batch)
    assert objective.teacher_taps is not None
    theirs, ours = objective.teacher_taps.outputs, objective._run_layers()
    for number, (_, norm) in enumerate(convolutions(student)):
        expected, found = theirs[number], ours[number]
        close = {"rtol": 0.05, "atol": 0.03 * float(expected.std())}
        torch.testing.assert_close(found.mean((0, 2, 3)), expected.mean((0, 2, 3)), **close)
        if norm is not None:
            torch.testing.assert_close(found.std((0, 2, 3)), expected.std((0, 2, 3)), **close)
    assert momenta == [m.momentum for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_anchor_map_of_equal_inputs_passes_everything_through() -> None:
    table = AnchorMap(SMALL, SMALL)
    logits, offsets = torch.randn(2, SMALL.num_anchors, 2), torch.randn(2, SMALL.num_anchors, 4)
    scores, mapped = table(logits, offsets)
    assert table.known.all() and table.index.shape[1] == 1
    torch.testing.assert_close(scores, logits.softmax(2))
    torch.testing.assert_close(mapped, offsets, rtol=1e-4, atol=1e-4)


def test_anchor_map_of_a_larger_teacher_keeps_boxes_in_place() -> None:
    student, teacher = ModelSpec("s", "slim", 320, 240), ModelSpec("t", "slim", 640, 480)
    index, known = nearest_anchors(student, teacher, 0.45)
    own, theirs = (torch.tensor(make_anchors(spec)) for spec in (student, teacher))
    # A 16-pixel anchor at 320 is the 32-pixel anchor at 640: the same place of the image.
    sixteen = 3 * (40 * 10 + 7) + 1
    torch.testing.assert_close(theirs[index[sixteen]].unique(dim=0), own[sixteen : sixteen + 1])
    # Faces of 192 and 256 pixels have no counterpart in an input of twice the size.
    assert known[:4360].all() and known[-3:].tolist() == [True, False, False]

    table = AnchorMap(student, teacher)
    logits = torch.zeros(1, teacher.num_anchors, 2)
    offsets = torch.randn(1, teacher.num_anchors, 4)
    chosen = int(index[sixteen][0])
    _, mapped = table(logits, offsets)
    center = mapped[0, sixteen, :2] * 0.1 * own[sixteen, 2:] + own[sixteen, :2]
    expected = offsets[0, chosen, :2] * 0.1 * theirs[chosen, 2:] + theirs[chosen, :2]
    torch.testing.assert_close(center, expected)


def test_output_loss_is_zero_at_the_teacher_and_leaves_unknown_anchors_alone() -> None:
    logits, offsets = torch.randn(2, 6, 2), torch.randn(2, 6, 4)
    everywhere, known = torch.ones(6, dtype=torch.bool), torch.tensor([True] * 3 + [False] * 3)
    same = output_loss(logits, offsets, logits.softmax(2), offsets, everywhere)
    assert max(map(float, same)) < 1e-6
    other = torch.cat([logits[:, :3], torch.randn(2, 3, 2)], dim=1)
    half = output_loss(other, offsets, logits.softmax(2), offsets, known)
    assert max(map(float, half)) < 1e-6
    assert float(output_loss(other, offsets, logits.softmax(2), offsets, everywhere)[0]) > 1e-3


def test_an_anchor_learns_to_score_how_well_its_box_lies() -> None:
    """Of two anchors of one face the one with the better box is to score higher."""
    batch = batch_of()
    face = torch.tensor([[0.2, 0.2, 0.5, 0.6]])
    zero = torch.zeros(1, dtype=torch.int64)
    batch.faces = FaceList(face, zero, zero.bool(), torch.ones(1), torch.ones_like(zero))
    stage = Stage("tune", 1, weights=Weights(overlap=2.0), quality=0.1)
    objective = Objective(teacher_of("slim").build(), stage, [], CPU).train()
    losses = objective(batch)
    assert set(losses) == {"label_scores", "label_boxes", "label_overlap", "total"}
    assert float(losses["total"].detach()) == pytest.approx(
        sum(float(loss.detach()) for name, loss in losses.items() if name != "total")
    )
    targets = match(batch.faces, 2, batch.anchors)
    matched = (targets.labels == FACE)[0].nonzero().ravel()
    assert len(matched) > 1
    # Boxes as the labels have them, but for one that is moved away by half of its anchor.
    offsets = targets.offsets.clone()
    offsets[0, matched[0], 0] += 5.0
    logits = torch.zeros(2, offsets.shape[1], 2, requires_grad=True)
    objective._label_losses(logits, offsets, batch)["label_scores"].backward()
    assert logits.grad is not None
    pulls = logits.grad[0, matched, 1]
    assert pulls[0] > pulls[1:].max() and (pulls[1:] < 0).all()


def test_boxes_alone_may_be_learnt_from_the_labels() -> None:
    stage = Stage("boxes", 1, weights=Weights(labels=0.0, overlap=2.0))
    losses = Objective(teacher_of("slim").build(), stage, [], CPU).train()(batch_of())
    assert set(losses) == {"label_overlap", "total"}
