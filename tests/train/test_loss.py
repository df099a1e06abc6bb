"""The multibox loss and hard-negative mining against numbers worked by hand."""

from __future__ import annotations

import math

import torch

from ultraface_deploy.train.loss import hard_negatives, multibox_loss


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
