"""One stage of a run: its steps, its epochs, and what it leaves on disk to go on from."""

# Tested by tests/train/test_loop.py.

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import ModelSpec, parse_input_size
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.train import processes
from ultraface_deploy.train.batches import Batch, Batches
from ultraface_deploy.train.objective import Objective
from ultraface_deploy.train.recipe import Role, Stage
from ultraface_deploy.train.settle import settle
from ultraface_deploy.train.teachers import TeacherSource

if TYPE_CHECKING:
    from ultraface_deploy.train.loop import Trainer

_MEASURED_BATCHES = 40
_REPORTED_STEPS = 20
# So much work at most is lost when the machine goes down.
_SAVE_SECONDS = 300.0


@dataclass(frozen=True)
class Progress:
    """Where the run is.

    `loss` is that of the step, or the mean of an epoch that has ended; `done` (0..1) how much of
    the stage is over; `ap` the AP that the epoch ended with, None where it was not measured.
    """

    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    done: float = 0.0
    ap: float | None = None

    def __str__(self) -> str:
        ap = "" if self.ap is None else f", AP {self.ap:.4f}"
        return f"{self.stage} {self.epoch + 1}/{self.epochs}, loss {self.loss:.3f}{ap}"


class StageRun:
    """One stage of a run: its objective, optimizer, schedule and average of weights."""

    def __init__(self, trainer: Trainer, number: int, stage: Stage) -> None:
        self.trainer, self.number, self.stage = trainer, number, stage
        net, device = trainer.net, trainer.device
        net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = self._draw_batches()
        if trainer.taught and not (trainer.resumed or stage.freeze_bn or stage.layerwise):
            settle(net, self.batches.epoch(-1, most=_MEASURED_BATCHES))
        # Copied before the objective puts its hooks on the network.
        self.average = AveragedModel(
            net,
            multi_avg_fn=get_ema_multi_avg_fn(stage.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        teachers = [
            _teacher(trainer.teachers, role, stage, trainer.spec) for role in stage.teachers
        ]
        for role, teacher in zip(stage.teachers, teachers, strict=True):
            trainer.show_pictures(role, teacher)
        self.begun = {key: value.detach().clone() for key, value in net.state_dict().items()}
        self.objective = Objective(net, stage, teachers, device)
        self.epoch, self.step = trainer.position[1:]
        self.sums: dict[str, torch.Tensor] = {}
        resumed, trainer.resumed = trainer.resumed, {}
        if not resumed and stage.reads_features:
            self.objective.measure(self.batches.epoch(-1, most=_MEASURED_BATCHES))
        self.optimizer = _optimizer(net, stage)
        if resumed:
            self._load(resumed)
        self.model = processes.joined(self.objective)
        self.started = self.saved = time.monotonic()
        self.done = self._share_done()

    def fit(self) -> None:
        """Train what is left; afterwards the network holds the averaged weights."""
        trainer, stage, since = self.trainer, self.stage, time.monotonic()
        while self.done < 1:
            self._train_epoch()
            ended, self.epoch, self.step = self.epoch, self.epoch + 1, 0
            self.done = self._share_done()
            steps = max(1.0, float(self.sums.get("steps", 0.0)))
            means = {name: float(value) / steps for name, value in self.sums.items()}
            ap = None
            if self.epoch % stage.validate_every == 0 or self.done >= 1:
                ap = self._measure(means, time.monotonic() - since)
                since = time.monotonic()
            total = means.get("total", math.nan)
            told = (stage.name, ended, stage.epochs, self.batches.steps, self.batches.steps)
            trainer.on_epoch(Progress(*told, total, self.done, ap))
        self.objective.close()
        trainer.net.load_state_dict(self.averaged.state_dict())
        if stage.start_share:
            self._go_back()

    def _go_back(self) -> None:
        """Bring the network a share of the way back to where the stage began; measure and save."""
        trainer, stage, net = self.trainer, self.stage, self.trainer.net
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                value.lerp_(self.begun[key].to(value), stage.start_share)
        if trainer.metrics is None:
            return
        since = time.monotonic()
        measured = trainer.measure(net)
        name = f"{stage.name}, {stage.start_share:g} back"
        trainer.metrics.add(self._row(name, 0.0, time.monotonic() - since) | measured)
        # The next stage, if there is one, begins anew from here.
        trainer.save(net, {"position": [self.number + 1, 0, 0], "stage": {}}, measured["ap"])

    @property
    def averaged(self) -> UltraFace:
        """The network with the averaged weights, or the trained one where averaging is off."""
        net = self.average.module if self.stage.ema else self.trainer.net
        assert isinstance(net, UltraFace)
        return net

    def _share_done(self) -> float:
        """How much of the stage is over, 0..1: by epochs, or by the clock if that is faster."""
        done = (self.epoch + self.step / self.batches.steps) / self.stage.epochs
        deadline, now = self.trainer.deadline, time.monotonic()
        if deadline is None:
            return done
        if self.number + 1 == len(self.trainer.recipe.stages):
            clock = (now - self.started) / max(1e-3, deadline - self.started)
        else:
            clock = float(now >= deadline)
        # The processes' clocks differ, and all have to stop at the same step.
        return float(processes.joint_mean(torch.tensor(max(done, clock))))

    def _train_epoch(self) -> None:
        """Train what is left of an epoch, adding up the losses of its steps."""
        self.model.train()
        trainer, steps = self.trainer, self.batches.steps
        for batch in self.batches.epoch(self.epoch, first=self.step):
            self.done = self._share_done()
            if self.done >= 1:
                return
            losses = self.take_step(batch)
            for name, value in (losses | {"steps": torch.ones(())}).items():
                self.sums[name] = self.sums.get(name, 0.0) + value.detach()
            self.step += 1
            trainer.images += self.stage.batch_size
            if self.step % _REPORTED_STEPS == 1 or self.step == steps:
                told = (self.stage.name, self.epoch, self.stage.epochs, self.step, steps)
                trainer.on_step(Progress(*told, self._loss(losses), self.done))
            if trainer.metrics is not None and time.monotonic() - self.saved > _SAVE_SECONDS:
                self._save()

    def take_step(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Train on a batch and return its losses by name."""
        stage, net = self.stage, self.trainer.net
        factor = learning_rate(self.done, self.epoch * self.batches.steps + self.step, stage)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.lr * factor
        losses: dict[str, torch.Tensor] = self.model(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), stage.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(net)
        return losses

    def _loss(self, losses: Mapping[str, torch.Tensor]) -> float:
        """Return the loss; asking for it makes a GPU finish first what it has to do."""
        loss = float(losses["total"].detach())
        if not math.isfinite(loss):
            raise CheckFailed(
                f"stage {self.stage.name}: the loss is not a number any more; lower lr in the "
                f"recipe, or go on from {self.trainer.folder / 'last.pth'} with `resume`"
            )
        return loss

    def _measure(self, means: Mapping[str, float], seconds: float) -> float | None:
        """Measure, write down and save where the run is; return the AP if there is one."""
        self.sums = {}
        trainer = self.trainer
        if trainer.metrics is None:
            return None
        row = self._row(self.stage.name, float(self.optimizer.param_groups[0]["lr"]), seconds)
        row |= {name: value for name, value in means.items() if name != "steps"}
        measured = trainer.measure(self.averaged)
        # Before the checkpoint: a row too many is cut again, one too few would be lost.
        trainer.metrics.add(row | measured)
        self._save(measured["ap"])
        return None if math.isnan(measured["ap"]) else measured["ap"]

    def _row(self, name: str, lr: float, seconds: float) -> dict[str, float | str]:
        images = self.trainer.images
        return {"stage": name, "epoch": self.epoch, "images": images, "lr": lr, "seconds": seconds}

    def _draw_batches(self) -> Batches:
        trainer, stage = self.trainer, self.stage
        sizes = [parse_input_size(size) for size in stage.input_sizes]
        return Batches(
            trainer.pool,
            trainer.training,
            [trainer.spec.resized(*size) for size in sizes] or [trainer.spec],
            stage.augment,
            stage.batch_size,
            scales=[role.scale for role in stage.teachers if not role.sides],
            seed=crc32(f"{trainer.recipe.seed}/{stage.name}".encode()),
            share=(processes.rank(), processes.world()),
        )

    def _save(self, precision: float | None = None) -> None:
        """Write `last.pth`, from which the run can go on, and `best.pth` if this is the best."""
        training = {
            "position": [self.number, self.epoch, self.step],
            "stage": {
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scales": self.objective.scales,
                "sums": self.sums,
                "begun": self.begun if self.stage.start_share else {},
            },
        }
        self.trainer.save(self.averaged, training, precision)
        self.saved = time.monotonic()

    def _load(self, state: Mapping[str, Any]) -> None:
        device = self.trainer.device
        try:
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.objective.scales = [scale.to(device) for scale in state["scales"]]
            # Runs begun before there was a way back have none.
            self.begun |= state.get("begun", {})
            self.sums = {str(name): value.to(device) for name, value in state["sums"].items()}
        except (*PARSE_ERRORS, RuntimeError) as error:
            raise InputError(
                f"{self.trainer.folder}: the training state of stage {self.stage.name} is damaged; "
                "delete last.pth to start again"
            ) from error


def learning_rate(done: float, step: int, stage: Stage) -> float:
    """Return the factor on the stage's learning rate when `done` (0..1) of it is over."""
    warmup = min(1.0, (step + 1) / max(1, stage.warmup_steps))
    if stage.schedule == "cosine":
        return warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
    return float(warmup * 0.1 ** sum(done >= milestone for milestone in stage.milestones))


def _optimizer(net: UltraFace, stage: Stage) -> torch.optim.Optimizer:
    # No decay on biases and BatchNorms: pulling those to zero only shrinks activations.
    decayed = [p for p in net.parameters() if p.ndim > 1]
    free = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": stage.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    if stage.optimizer == "adamw":
        fused = next(net.parameters()).is_cuda
        return torch.optim.AdamW(groups, lr=stage.lr, fused=fused)
    return torch.optim.SGD(groups, lr=stage.lr, momentum=stage.momentum)


def _teacher(
    teachers: Mapping[str, TeacherSource], role: Role, stage: Stage, spec: ModelSpec
) -> TeacherSource:
    try:
        teacher = teachers[role.name]
    except KeyError:
        raise InputError(
            f"stage {stage.name} learns from {role.name}; give that file with `teacher`"
        ) from None
    classes = teacher.spec.num_classes if isinstance(teacher, Checkpoint) else 2
    kind = teacher.spec.architecture if isinstance(teacher, Checkpoint) else "different"
    if classes != spec.num_classes:
        raise InputError(
            f"stage {stage.name}: its teacher has {classes} classes, this run "
            f"trains {spec.num_classes}; give a `recipe` whose stages learn from labels alone"
        )
    if stage.reads_features and kind != spec.architecture:
        raise InputError(
            f"stage {stage.name}: features of a {kind} teacher do not fit "
            f"a {spec.architecture} network; name a teacher of the same architecture"
        )
    return teacher
