"""The multibox loss and hard-negative mining against numbers worked by hand."""

from __future__ import annotations

import math

import torch

from ultraface_deploy.train.loss import (
    hard_negatives,
    iou_and_giou,
    multibox_loss,
    overlap_loss,
)


def test_hard_negatives_are_the_worst_backgrounds_three_for_a_face() -> None:
    losses = torch.tensor([[9.0, 1.0, 5.0, 2.0, 4.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    labels = torch.tensor([[1, 0, 0, 0, 0, -1], [0, 0, 0, 0, 0, 0]])
    chosen = hard_negatives(losses, labels, ratio=3)
    # The ignored anchor never counts, however large its loss; an image without faces gives three.
    assert chosen[0].nonzero().ravel().tolist() == [2, 3, 4]
    assert chosen[1].nonzero().ravel().tolist() == [3, 4, 5]


def test_multibox_loss_of_a_hand_worked_image() -> None:
    # One face whose anchor says 50:50, one background at 3:1 for background, one ignored anchor.
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [-9.0, 9.0]]])
    labels = torch.tensor([[1, 0, -1]])
    offsets = torch.tensor([[[0.5, 0, 0, 2.0], [7.0] * 4, [7.0] * 4]])
    target = torch.zeros(1, 3, 4)
    entropy, boxes = multibox_loss(logits, offsets, labels, target)
    assert math.isclose(float(entropy), math.log(2) + math.log(4 / 3), rel_tol=1e-5)
    # Smooth L1: 0.5 * 0.5^2 below 1, 2 - 0.5 above.
    assert math.isclose(float(boxes), 0.125 + 1.5, rel_tol=1e-5)


def test_an_image_without_faces_has_a_finite_loss_and_gradient() -> None:
    logits = torch.zeros(1, 8, 2, requires_grad=True)
    offsets = torch.zeros(1, 8, 4, requires_grad=True)
    labels, target = torch.zeros(1, 8, dtype=torch.int64), torch.zeros(1, 8, 4)
    entropy, boxes = multibox_loss(logits, offsets, labels, target)
    (entropy + boxes).backward()
    assert float(boxes) == 0 and math.isclose(float(entropy), 3 * math.log(2), rel_tol=1e-5)
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_quality_is_what_a_matched_anchor_learns_to_score() -> None:
    logits = torch.tensor([[[0.3, 0.9], [2.0, -1.0]]], requires_grad=True)
    labels, offsets = torch.tensor([[1, 0]]), torch.zeros(1, 2, 4)
    quality = torch.tensor([[0.25, 0.9]])
    entropy, _ = multibox_loss(logits, offsets, labels, offsets, quality=quality)
    scores = logits.detach().softmax(2)[0]
    # The background anchor is told nothing new, whatever its quality says.
    by_hand = -0.25 * scores[0, 1].log() - 0.75 * scores[0, 0].log() - scores[1, 0].log()
    assert math.isclose(float(entropy), float(by_hand), rel_tol=1e-6)
    # The gradient of a cross-entropy is what is scored less what should be.
    entropy.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0, 0, 1], scores[0, 1] - 0.25)


def test_quality_one_is_the_plain_loss() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 50, 3, generator=generator)
    labels = torch.randint(-1, 3, (2, 50), generator=generator)
    offsets = torch.randn(2, 50, 4, generator=generator)
    plain = multibox_loss(logits, offsets, labels, torch.zeros_like(offsets))
    same = multibox_loss(
        logits, offsets, labels, torch.zeros_like(offsets), quality=torch.ones(2, 50)
    )
    torch.testing.assert_close(same, plain)


def test_iou_and_giou_of_boxes_worked_by_hand() -> None:
    one = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]])
    other = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 3, 1]])
    overlaps, generalised = iou_and_giou(one, other)
    torch.testing.assert_close(overlaps, torch.tensor([1.0, 1 / 3, 0.0]))
    # The third pair has a hull of 3, of which 1 belongs to neither.
    torch.testing.assert_close(generalised, torch.tensor([1.0, 1 / 3, -1 / 3]))
    stretched = torch.tensor([3.0, 0.5, 3.0, 0.5])
    torch.testing.assert_close(iou_and_giou(one * stretched, other * stretched)[1], generalised)


def test_the_loss_of_overlaps_counts_matched_anchors_alone() -> None:
    generalised = torch.tensor([[0.5, -0.5, 0.1, 0.2]])
    assert float(overlap_loss(generalised, torch.tensor([[1, 2, 0, -1]]))) == 1.0
    assert float(overlap_loss(generalised, torch.tensor([[0, 0, 0, -1]]))) == 0.0
