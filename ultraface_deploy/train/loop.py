"""The training loop: stages, epochs, checkpoints that survive a kill, and metrics."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.family.checkpoint import Checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec, parse_input_size
from ultraface_deploy.family.tensors import SAFETENSORS, load_tensors, save_safetensors
from ultraface_deploy.safe.files import PARSE_ERRORS, make_folder, replacing, write_bytes
from ultraface_deploy.train import processes
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.dataset import Batch, Faces, collate
from ultraface_deploy.train.metrics import Metrics
from ultraface_deploy.train.objective import Objective
from ultraface_deploy.train.recipe import Recipe, Stage
from ultraface_deploy.train.validate import average_precision

_MEASURED_BATCHES = 40


@dataclass(frozen=True)
class Progress:
    """Where the run is, told after every step."""

    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float

    def __str__(self) -> str:
        return f"{self.stage} {self.epoch + 1}/{self.epochs}, loss {self.loss:.3f}"


class Trainer:
    """Runs a recipe in a folder: `last.pth` to go on from, `best.pth`, `metrics.csv`.

    Args:
        recipe: what decides the result.
        samples: the data set; a share of it is held out for the AP during training.
        folder: where the run's files go.
        teachers: checkpoints by the names that the recipe's stages use.
        init: start from these weights instead of random ones.
        cache: decoded images; by default one in the folder.
        workers: processes that load images; 0 loads them in this one.
        on_step: called after every step.
        on_epoch: called after every epoch, when it has been saved.
    """

    def __init__(
        self,
        recipe: Recipe,
        samples: Sequence[Sample],
        folder: Path,
        *,
        teachers: Mapping[str, Checkpoint] | None = None,
        init: Checkpoint | None = None,
        cache: ImageCache | None = None,
        workers: int = 0,
        on_step: Callable[[Progress], None] = lambda progress: None,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        self.recipe, self.samples, self.folder = recipe, samples, folder
        self.spec, self.teachers = recipe.spec, dict(teachers or {})
        self.workers, self.on_step, self.on_epoch = workers, on_step, on_epoch
        self.device = processes.device()
        make_folder(folder)
        self.cache = cache or ImageCache(samples, folder / "cache", cache_side(recipe))
        torch.manual_seed(recipe.seed)
        spec = self.spec
        self.net = UltraFace(recipe.architecture, spec.num_classes, channels=spec.channels)
        if init is not None:
            start_from(self.net, init)
        self.training, self.held_out = split(samples, recipe.holdout)
        if not self.training:
            raise InputError("the data set has no image left to train on; give more images")
        self.position = (0, 0)  # the stage and the epoch that come next
        self.best, self.images = -1.0, 0
        self.metrics = Metrics(folder) if processes.rank() == 0 else None
        self._resumed: dict[str, Any] = {}

    def resume(self, path: Path) -> None:
        """Go on from a `last.pth` exactly as if the run had never stopped.

        Raises:
            InputError: the file is not a `last.pth` of this recipe.
        """
        state = load_tensors(path)
        training = state.get("training") if isinstance(state, Mapping) else None
        if not isinstance(training, Mapping):
            raise InputError(f"{path}: holds no training state; give the last.pth of a run")
        if training.get("recipe") != repr(self.recipe):
            raise InputError(f"{path}: belongs to another recipe; resume with the same one")
        try:
            stage, epoch = map(int, training["position"])
            if not (0 <= stage < len(self.recipe.stages) and epoch >= 0):
                raise ValueError("a position outside the recipe")
            self.best, self.images = float(training["best"]), int(training["images"])
            self.net.load_state_dict(training["net"])
            self._resumed = dict(training["stage"])
        except (*PARSE_ERRORS, RuntimeError) as error:
            raise InputError(
                f"{path}: its training state is damaged; delete it to start again"
            ) from error
        self.position = (stage, epoch)

    def fit(self) -> Path:
        """Run what is left of the recipe and return the best checkpoint."""
        first, _ = self.position
        if self.metrics is not None:
            self.metrics.cut(self.images)
        for number in range(first, len(self.recipe.stages)):
            StageRun(self, number, self.recipe.stages[number]).fit()
            self.position = (number + 1, 0)
        return self.folder / "best.pth"

    def average_precision(self, net: UltraFace) -> float:
        """Return the AP of a network on the held-out images; NaN if there are none."""
        if not self.held_out:
            return math.nan
        return average_precision(
            net, self.spec, self.samples, self.cache, self.held_out, device=self.device
        )


class StageRun:
    """One stage of a run: its objective, optimizer, schedule and average of weights."""

    def __init__(self, trainer: Trainer, number: int, stage: Stage) -> None:
        self.trainer, self.number, self.stage = trainer, number, stage
        size = parse_input_size(stage.input_size) if stage.input_size else None
        self.spec = trainer.spec.resized(*size) if size else trainer.spec
        self.teacher = _teacher(trainer.teachers, stage, self.spec)
        trainer.net.to(trainer.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Copied before the objective puts its hooks on the network.
        self.average = AveragedModel(
            trainer.net,
            multi_avg_fn=get_ema_multi_avg_fn(stage.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self.objective = Objective(trainer.net, self.spec, stage, self.teacher)
        self.data = self._dataset()
        self.objective.to(trainer.device)
        self.steps = max(1, len(trainer.training) // stage.batch_size)
        self.epoch = trainer.position[1]
        resumed, trainer._resumed = trainer._resumed, {}
        if not resumed and (stage.layerwise or stage.weights.features):
            self.objective.measure(self._batches(epoch=-1, most=_MEASURED_BATCHES))
        self.optimizer = _optimizer(trainer.net, stage)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: learning_rate(step / self.steps / stage.epochs, step, stage),
        )
        self.scaler = torch.amp.GradScaler("cuda", enabled=trainer.device.type == "cuda")
        if resumed:
            self._load(resumed)
        self.model = processes.joined(self.objective)

    def fit(self) -> None:
        """Train the epochs that are left; afterwards the network holds the averaged weights."""
        trainer = self.trainer
        while self.epoch < self.stage.epochs:
            started = time.monotonic()
            losses = self._train_epoch()
            self.epoch += 1
            trainer.images += self.steps * self.stage.batch_size
            if trainer.metrics is not None:
                precision = trainer.average_precision(self.averaged)
                row: dict[str, float | str] = {
                    "stage": self.stage.name,
                    "epoch": self.epoch,
                    "images": trainer.images,
                    "lr": float(self.optimizer.param_groups[0]["lr"]),
                    "seconds": time.monotonic() - started,
                    "ap": precision,
                }
                # Before the checkpoint: a row too many is cut again, one too few would be lost.
                trainer.metrics.add(row | losses, trainer.images)
                self._save(precision)
            trainer.on_epoch()
        self.objective.close()
        trainer.net.load_state_dict(self.averaged.state_dict())

    @property
    def averaged(self) -> UltraFace:
        """The network with the averaged weights, or the trained one where averaging is off."""
        net = self.average.module if self.stage.ema else self.trainer.net
        assert isinstance(net, UltraFace)
        return net

    def _train_epoch(self) -> dict[str, float]:
        self.model.train()
        sums: dict[str, float] = {}
        device = self.trainer.device
        for step, batch in enumerate(self._batches(self.epoch), 1):
            with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
                losses = self.model(batch)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(losses["total"]).backward()
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.trainer.net.parameters(), self.stage.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.schedule.step()
            self.average.update_parameters(self.trainer.net)
            if not torch.isfinite(losses["total"]):
                raise CheckFailed(
                    f"stage {self.stage.name}: the loss is not a number any more; lower lr in the "
                    f"recipe, or go on from {self.trainer.folder / 'last.pth'} with --resume"
                )
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            stage = self.stage
            self.trainer.on_step(
                Progress(
                    stage.name, self.epoch, stage.epochs, step, self.steps, sums["total"] / step
                )
            )
        return {name: value / self.steps for name, value in sums.items()}

    def _dataset(self) -> Faces:
        trainer = self.trainer
        size = (self.teacher.spec.width, self.teacher.spec.height) if self.teacher else None
        seed = crc32(f"{trainer.recipe.seed}/{self.stage.name}".encode())
        return Faces(
            trainer.samples,
            trainer.cache,
            self.spec,
            self.stage.augment,
            teacher_size=size,
            seed=seed,
            windows=self.stage.windows,
            answered=self.objective.answers,
        )

    def _batches(self, epoch: int, most: int | None = None) -> Iterator[Batch]:
        """Yield this process' share of every batch of an epoch."""
        self.data.epoch = epoch + 1
        rng = np.random.default_rng((self.data.seed, epoch + 1))
        order = rng.permutation(np.array(self.trainer.training))
        batches = [
            part[processes.rank() :: processes.world()].tolist()
            for part in np.array_split(order[: self.steps * self.stage.batch_size], self.steps)
        ]
        loader = DataLoader(
            self.data,
            batch_sampler=batches[:most],
            collate_fn=collate,
            num_workers=self.trainer.workers,
            pin_memory=self.trainer.device.type == "cuda",
        )
        for batch in loader:
            yield batch.to(self.trainer.device)

    def _save(self, precision: float) -> None:
        """Write `last.pth`, from which the run can go on, and `best.pth` if this is the best."""
        trainer = self.trainer
        weights = {"state_dict": self.averaged.state_dict(), METADATA_KEY: trainer.spec.to_dict()}
        if not precision < trainer.best:
            trainer.best = precision
            save(weights, trainer.folder / "best.pth")
            with replacing(trainer.folder / f"best{SAFETENSORS}") as temporary:
                save_safetensors(weights["state_dict"], weights[METADATA_KEY], temporary)
        training = {
            "recipe": repr(trainer.recipe),
            "position": [self.number, self.epoch],
            "best": trainer.best,
            "images": trainer.images,
            "net": trainer.net.state_dict(),
            "stage": {
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "scales": self.objective.scales,
            },
        }
        save(weights | {"training": training}, trainer.folder / "last.pth")

    def _load(self, state: Mapping[str, Any]) -> None:
        try:
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.scaler.load_state_dict(state["scaler"])
            self.objective.scales = [scale.to(self.trainer.device) for scale in state["scales"]]
        except (*PARSE_ERRORS, RuntimeError) as error:
            raise InputError(
                f"{self.trainer.folder}: the training state of stage {self.stage.name} is damaged; "
                "delete last.pth to start again"
            ) from error


def cache_side(recipe: Recipe) -> int:
    """Return the longest side that images are cached at: room to crop in at twice the input."""
    return 2 * max(recipe.width, recipe.height)


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all; on a full disk torch itself raises no OSError."""
    file = io.BytesIO()
    torch.save(dict(content), file)
    write_bytes(path, file.getvalue())


def start_from(net: UltraFace, init: Checkpoint) -> list[str]:
    """Take over the weights of a checkpoint as far as they fit; say what was made anew.

    The classification heads of another number of classes stay random. The first convolution of a
    colour network becomes that of a gray one by summing over its channels.
    """
    own, remarks = net.state_dict(), []
    weights = dict(init.state_dict)
    if init.spec.num_classes != net.num_classes:
        weights = {k: v for k, v in weights.items() if not k.startswith("classification_headers.")}
        remarks.append(
            f"{init.spec.num_classes} classes become {net.num_classes}: the classification heads "
            "are new, the rest is kept"
        )
    first = "base_net.0.0.weight"
    if weights[first].shape != own[first].shape:
        gray = own[first].shape[1] == 1
        summed = weights[first].sum(dim=1, keepdim=True)
        weights[first] = summed if gray else weights[first].expand_as(own[first]) / 3
        remarks.append("the first convolution is made from that of another number of channels")
    net.load_state_dict(own | {k: v for k, v in weights.items() if k in own})
    return remarks


def split(samples: Sequence[Sample], holdout: float) -> tuple[list[int], list[int]]:
    """Return the indices to train on and those held out, chosen by a hash of the file name.

    A picture stays on its side whatever the order of the data set or its neighbours.
    """
    marks = [crc32(sample.image.name.encode()) % 10_000 < holdout * 10_000 for sample in samples]
    return (
        [index for index, held in enumerate(marks) if not held],
        [index for index, held in enumerate(marks) if held],
    )


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
        return torch.optim.AdamW(groups, lr=stage.lr)
    return torch.optim.SGD(groups, lr=stage.lr, momentum=stage.momentum)


def _teacher(
    teachers: Mapping[str, Checkpoint], stage: Stage, spec: ModelSpec
) -> Checkpoint | None:
    if stage.teacher is None:
        return None
    try:
        teacher = teachers[stage.teacher]
    except KeyError:
        raise InputError(
            f"stage {stage.name} learns from {stage.teacher}; give that checkpoint with --teacher"
        ) from None
    if teacher.spec.num_classes != spec.num_classes:
        raise InputError(
            f"stage {stage.name}: its teacher has {teacher.spec.num_classes} classes, this run "
            f"trains {spec.num_classes}; give a --recipe whose stages learn from labels alone"
        )
    if stage.layerwise or stage.weights.features:
        if teacher.spec.architecture != spec.architecture:
            raise InputError(
                f"stage {stage.name}: features of a {teacher.spec.architecture} teacher do not fit "
                f"a {spec.architecture} network; name a teacher of the same architecture"
            )
        # Features are compared place by place: the teacher reads what the student reads.
        return replace(teacher, spec=teacher.spec.resized(spec.width, spec.height))
    return teacher
