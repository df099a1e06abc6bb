"""The loop on tiny data: it learns, it resumes, and two processes are one."""

from __future__ import annotations

import csv
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.train import loop as loop_module
from ultraface_deploy.train import stage as stage_module
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.loop import Trainer, split
from ultraface_deploy.train.recipe import (
    Augmentation,
    Recipe,
    Role,
    Stage,
    Weights,
)
from ultraface_deploy.train.stage import Progress, learning_rate
from ultraface_deploy.train.validate import average_precision

STILL = Augmentation(whole=1, crop=0, aimed=0, expand=0, mirror=0, photometric=0)
MEMORISE = Stage(
    "memorise", 4, batch_size=4, optimizer="adamw", lr=4e-3, warmup_steps=5, ema=0.9, augment=STILL
)


def recipe_of(*stages: Stage, holdout: float = 0.0, side: int = 64) -> Recipe:
    return Recipe("slim", side, side, stages, seed=1, holdouts=(holdout,))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "best.pth").state_dict


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.fixture(autouse=True)
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take longer than these runs; `test_page.py` and `test_command.py` look at them."""
    monkeypatch.setattr(loop_module, "training_page", lambda *arguments: "")


def test_eight_images_are_learnt_by_heart(tiny: list[Sample], tmp_path: Path) -> None:
    stage = replace(MEMORISE, epochs=10, lr=1e-2)
    trainer = Trainer(recipe_of(stage, side=128), [tiny * 10], tmp_path / "run")
    best = load_checkpoint(trainer.fit())
    with (tmp_path / "run/metrics.csv").open() as file:
        losses = [float(row["total"]) for row in csv.DictReader(file)]
    assert len(losses) == 10 and losses[-1] < 0.1 * losses[0]
    precision = average_precision(best.build(), best.spec, tiny, trainer.cache, range(8))
    assert precision.mean > 0.99


def test_a_resumed_run_equals_one_that_never_stopped(tiny: list[Sample], tmp_path: Path) -> None:
    first = replace(MEMORISE, epochs=2, augment=Augmentation())
    then = replace(first, name="then", optimizer="sgd", lr=0.01)
    recipe = recipe_of(first, then)
    Trainer(recipe, [tiny], tmp_path / "whole").fit()
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):  # within the first stage
        Trainer(recipe, [tiny], folder, on_epoch=_stop_after(1)).fit()
    again = Trainer(recipe, [tiny], folder, on_epoch=_stop_after(2))
    again.resume(folder / "last.pth")
    with pytest.raises(KeyboardInterrupt):  # within the second
        again.fit()
    last = Trainer(recipe, [tiny], folder)
    last.resume(folder / "last.pth")
    assert last.position[:2] == (1, 1)
    last.fit()
    assert_equal(weights_of(folder), weights_of(tmp_path / "whole"))


def test_a_run_that_was_killed_within_an_epoch_goes_on_from_there(
    tiny: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(replace(MEMORISE, epochs=2, batch_size=2, augment=Augmentation(noise=1)))
    Trainer(recipe, [tiny], tmp_path / "whole").fit()
    monkeypatch.setattr(stage_module, "_SAVE_SECONDS", -1)
    folder = tmp_path / "cut"

    def stop(progress: Progress) -> None:
        if progress.step == progress.steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(recipe, [tiny], folder, on_step=stop).fit()
    again = Trainer(recipe, [tiny], folder)
    again.resume(folder / "last.pth")
    assert again.position == (0, 0, 3) and again.images == 6
    again.fit()
    assert_equal(weights_of(folder), weights_of(tmp_path / "whole"))
    rows = [(tmp_path / name / "metrics.csv").read_text().split() for name in ("cut", "whole")]
    losses = [[row.split(",")[-6:] for row in run] for run in rows]
    assert losses[0] == losses[1]


def _stop_after(epochs: int) -> Callable[[Progress], None]:
    done = 0

    def stop(progress: Progress) -> None:
        nonlocal done
        done += 1
        if done == epochs:
            raise KeyboardInterrupt

    return stop


def test_a_run_begun_before_there_was_a_way_back_goes_on(
    tiny: list[Sample], tmp_path: Path
) -> None:
    recipe = recipe_of(replace(MEMORISE, epochs=1))
    Trainer(recipe, [tiny], tmp_path / "run").fit()
    last = tmp_path / "run/last.pth"
    content = torch.load(last, weights_only=True)
    del content["training"]["stage"]["begun"]
    content["training"]["position"] = [0, 0, 0]
    torch.save(content, last)
    again = Trainer(recipe, [tiny], tmp_path / "run")
    again.resume(last)
    assert again.fit() == tmp_path / "run/best.pth"


def test_resume_refuses_another_recipe_and_other_files(tiny: list[Sample], tmp_path: Path) -> None:
    recipe = recipe_of(replace(MEMORISE, epochs=1))
    Trainer(recipe, [tiny], tmp_path / "run").fit()
    other = Trainer(replace(recipe, seed=2), [tiny], tmp_path / "other")
    with pytest.raises(InputError, match="another recipe"):
        other.resume(tmp_path / "run/last.pth")
    with pytest.raises(InputError, match="no training state"):
        other.resume(tmp_path / "run/best.pth")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("position", [7, 0, 0]), ("position", 3), ("net", {}), ("best", {})),
        *(("stage", {"average": {}}), ("stage", 5)),
    ],
)
def test_resume_refuses_a_damaged_state(
    tiny: list[Sample], tmp_path: Path, key: str, value: object
) -> None:
    recipe = recipe_of(replace(MEMORISE, epochs=2))
    with pytest.raises(KeyboardInterrupt):
        Trainer(recipe, [tiny], tmp_path, on_epoch=_stop_after(1)).fit()
    state = torch.load(tmp_path / "last.pth", weights_only=True)
    state["training"][key] = value
    torch.save(state, tmp_path / "last.pth")
    with pytest.raises(InputError, match="damaged"):
        again = Trainer(recipe, [tiny], tmp_path)
        again.resume(tmp_path / "last.pth")
        again.fit()


def test_resume_refuses_what_is_no_checkpoint(tiny: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "last.pth").write_bytes(b"half a fi")
    with pytest.raises(InputError, match="not a torch checkpoint"):
        Trainer(recipe_of(MEMORISE), [tiny], tmp_path).resume(tmp_path / "last.pth")


def test_metrics_hold_each_epoch_once_after_a_kill(tiny: list[Sample], tmp_path: Path) -> None:
    """Killed between the metrics of the second epoch and its checkpoint."""
    recipe = recipe_of(replace(MEMORISE, epochs=2))
    with pytest.raises(KeyboardInterrupt):
        Trainer(recipe, [tiny], tmp_path, on_epoch=_stop_after(1)).fit()
    table = tmp_path / "metrics.csv"
    head, first = table.read_text().splitlines()
    table.write_text(f"{head}\n{first}\n{first.replace('memorise,1,8', 'memorise,2,16')}\nmemor")
    again = Trainer(recipe, [tiny], tmp_path)
    again.resume(tmp_path / "last.pth")
    again.fit()
    rows = table.read_text().splitlines()
    assert rows[1] == first
    assert [row.split(",")[1] for row in rows[1:]] == ["1", "2"]


def test_distillation_from_a_checkpoint_of_the_family(tiny: list[Sample], tmp_path: Path) -> None:
    teacher_recipe = recipe_of(replace(MEMORISE, epochs=1), side=128)
    teacher = load_checkpoint(Trainer(teacher_recipe, [tiny], tmp_path / "teacher").fit())
    layers = Stage(
        "layers",
        12,
        batch_size=4,
        optimizer="adamw",
        lr=5e-3,
        freeze_bn=True,
        layerwise=True,
        teachers=(Role("t"),),
        input_sizes=("96x96",),
        warmup_steps=5,
        weights=Weights(0, features=1),
    )
    joint = Stage(
        "joint",
        2,
        batch_size=4,
        freeze_bn=True,
        teachers=(Role("t", scale=1.5), Role("u")),
        input_sizes=("128x128", "96x64"),
        lr=1e-3,
        weights=Weights(labels=1, outputs=1, boxes=1),
    )
    Trainer(
        recipe_of(layers, joint, side=128),
        [tiny],
        tmp_path / "run",
        teachers={"t": teacher, "u": teacher},
    ).fit()
    with (tmp_path / "run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    features = [float(row["features"]) for row in rows if row["stage"] == "layers"]
    assert features[-1] < 0.5 * features[0]
    assert all(np.isfinite(float(row["total"])) for row in rows)


def test_a_stage_without_its_teacher_says_which_to_give(tiny: list[Sample], tmp_path: Path) -> None:
    stage = replace(MEMORISE, teachers=(Role("t"),), weights=Weights(outputs=1))
    with pytest.raises(InputError, match="`teacher`"):
        Trainer(recipe_of(stage), [tiny], tmp_path / "run").fit()


def _gradients(rank: int, world: int, rendezvous: str, samples: list[Sample], folder: Path) -> None:
    """Write the gradients of one step, of the joint batch or of this process' share of it."""
    torch.set_num_threads(1)
    if world > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world
        )
    stage = replace(
        MEMORISE, epochs=1, batch_size=8, optimizer="sgd", lr=1.0, momentum=0.0, ema=0.0
    )
    stage = replace(stage, freeze_bn=True, clip_norm=1e9, weight_decay=0.0, warmup_steps=0)
    trainer = Trainer(recipe_of(stage, side=128), [samples], folder / f"{world}-{rank}")
    before = {name: value.clone() for name, value in trainer.net.named_parameters()}
    trainer.fit()
    step = {name: before[name] - value.detach() for name, value in trainer.net.named_parameters()}
    torch.save(step, folder / f"{world}-{rank}.pt")
    if world > 1:
        distributed.destroy_process_group()


def test_two_processes_give_the_gradients_of_the_joint_batch(
    tiny: list[Sample], tmp_path: Path
) -> None:
    _gradients(0, 1, "", tiny, tmp_path)
    torch.multiprocessing.spawn(
        _gradients, (2, str(tmp_path / "rendezvous"), tiny, tmp_path), nprocs=2
    )
    joint = torch.load(tmp_path / "1-0.pt", weights_only=True)
    for rank in (0, 1):
        shared = torch.load(tmp_path / f"2-{rank}.pt", weights_only=True)
        assert max(float(value.detach().abs().max()) for value in joint.values()) > 1e-3
        for name, value in joint.items():
            torch.testing.assert_close(shared[name], value, rtol=1e-3, atol=1e-5)


def test_schedules() -> None:
    cosine = replace(MEMORISE, warmup_steps=10)
    assert learning_rate(0.0, 0, cosine) == pytest.approx(0.1)
    assert learning_rate(0.5, 50, cosine) == pytest.approx(0.505)
    assert learning_rate(1.0, 100, cosine) == pytest.approx(0.01)
    steps = replace(MEMORISE, schedule="multistep", milestones=(0.5, 0.75), warmup_steps=0)
    factors = [learning_rate(done, 9, steps) for done in (0.4, 0.6, 0.8)]
    assert factors == pytest.approx([1, 0.1, 0.01])


def test_the_held_out_images_do_not_depend_on_their_order(tiny: list[Sample]) -> None:
    names = [{tiny[i].image.name for i in part} for part in split(tiny, 0.5)]
    backwards = tiny[::-1]
    assert names == [{backwards[i].image.name for i in part} for part in split(backwards, 0.5)]
    assert all(names)


def test_full_disk_is_one_line(tiny: list[Sample], tmp_path: Path) -> None:
    """torch's own writer raises a RuntimeError there; a limit on the size of a file is alike."""
    recipe = recipe_of(replace(MEMORISE, epochs=1))
    trainer = Trainer(recipe, [tiny], tmp_path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, old[1]))
    try:
        with pytest.raises(InputError, match="cannot write"):
            trainer.fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.glob("*.pth"))


def test_a_stage_may_go_back_towards_its_start(tiny: list[Sample], tmp_path: Path) -> None:
    """A quarter back: the same run, mixed by hand; and the run that ended so can be resumed."""
    stage = replace(MEMORISE, epochs=1, augment=Augmentation())
    recipe = recipe_of(stage, holdout=0.5)
    whole = Trainer(recipe, [tiny], tmp_path / "whole")
    start = {key: value.clone() for key, value in whole.net.state_dict().items()}
    whole.fit()
    back = replace(recipe, stages=(replace(stage, start_share=0.25),))
    trainer = Trainer(back, [tiny], tmp_path / "back")
    trainer.fit()
    for key, end in whole.net.state_dict().items():
        wanted = end.lerp(start[key], 0.25) if end.is_floating_point() else end
        torch.testing.assert_close(trainer.net.state_dict()[key], wanted)
    with (tmp_path / "back/metrics.csv").open() as file:
        assert [row["stage"] for row in csv.DictReader(file)] == ["memorise", "memorise, 0.25 back"]
    again = Trainer(back, [tiny], tmp_path / "back")
    again.resume(tmp_path / "back/last.pth")
    again.fit()
    assert_equal(dict(again.net.state_dict()), dict(trainer.net.state_dict()))


def test_a_run_killed_before_it_goes_back_still_knows_its_start(
    tiny: list[Sample], tmp_path: Path
) -> None:
    stage = replace(MEMORISE, epochs=2, start_share=0.5, augment=Augmentation())
    recipe = recipe_of(stage)
    whole = Trainer(recipe, [tiny], tmp_path / "whole")
    whole.fit()
    with pytest.raises(KeyboardInterrupt):
        Trainer(recipe, [tiny], tmp_path / "cut", on_epoch=_stop_after(1)).fit()
    again = Trainer(recipe, [tiny], tmp_path / "cut")
    again.resume(tmp_path / "cut/last.pth")
    again.fit()
    assert_equal(dict(again.net.state_dict()), dict(whole.net.state_dict()))
