"""Statistics that were left behind catch up, and the network gives what it gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.models.pull import file_or_name
from ultraface_deploy.train.batches import Batch
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.loop import Trainer
from ultraface_deploy.train.matching import Anchors
from ultraface_deploy.train.recipe import Augmentation, Recipe, Stage
from ultraface_deploy.train.settle import settle

STILL = Augmentation(whole=1, crop=0, aimed=0, expand=0, mirror=0, photometric=0)
STAGE = Stage("tune", 3, batch_size=8, lr=0.0, weight_decay=0.0, ema=0.0, augment=STILL)


def scores(net: UltraFace, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net(images)[0].softmax(2)[..., 1]


def test_what_the_network_gives_stays_and_its_batches_agree_with_it() -> None:
    torch.manual_seed(0)
    checkpoint = load_checkpoint(file_or_name(Path("slim-320")))
    net, spec = checkpoint.build(), checkpoint.spec.resized(128, 128)
    # Smooth, as pictures are: noise has other statistics in every layer.
    coarse = torch.randn(16, 3, 8, 8)
    images = nn.functional.interpolate(coarse, size=(128, 128), mode="bicubic").clamp(-1, 1)
    before = scores(net.eval(), images)
    left_behind = (scores(net.train(), images) - before).abs().max()

    net = checkpoint.build()
    settle(net, [Batch(spec, Anchors(spec), images, [])])
    torch.testing.assert_close(scores(net, images), before, rtol=0, atol=1e-4)
    # One batch of everything: its statistics are those measured, but for n / (n - 1).
    torch.testing.assert_close(scores(net.train(), images), before, rtol=0, atol=1e-2)
    assert left_behind > 0.2


def test_a_stage_of_rate_0_with_batchnorm_trained_changes_no_face(
    tiny: list[Sample], tmp_path: Path
) -> None:
    start = load_checkpoint(file_or_name(Path("slim-320")))
    recipe = Recipe("slim", 128, 128, (STAGE,), seed=1, holdouts=(0.0,))
    found = []
    for stage in (STAGE, replace(STAGE, freeze_bn=True)):
        folder = tmp_path / str(stage.freeze_bn)
        trainer = Trainer(replace(recipe, stages=(stage,)), [tiny * 8], folder, init=start)
        trainer.fit()
        pixels = trainer.pool.pixels(torch.arange(8)).float()
        found.append(scores(trainer.net.eval(), (pixels - 127) / 128))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0.05)
