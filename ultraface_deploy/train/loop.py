"""A training run: its network, data and folder, the stages one after the other, and resuming."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from zlib import crc32

import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import Checkpoint, load_checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import METADATA_KEY
from ultraface_deploy.family.tensors import SAFETENSORS, load_tensors, save_safetensors
from ultraface_deploy.safe.files import (
    PARSE_ERRORS,
    make_folder,
    replacing,
    write_bytes,
    write_text,
)
from ultraface_deploy.train import processes
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.examples import Example, examples, spread
from ultraface_deploy.train.metrics import Metrics
from ultraface_deploy.train.page import training_page
from ultraface_deploy.train.pool import Pool
from ultraface_deploy.train.recipe import Recipe, Role, written_as
from ultraface_deploy.train.seen import look
from ultraface_deploy.train.stage import Progress, StageRun
from ultraface_deploy.train.teachers import TeacherSource
from ultraface_deploy.train.validate import Precision, average_precision


class Trainer:
    """Runs a recipe in a folder: `last.pth` to go on from, `best.pth`, `metrics.csv`, a page.

    Args:
        recipe: what decides the result.
        samples: the data sets; a share of each is held out for the AP during training.
        folder: where the run's files go.
        teachers: checkpoints, or files of other detectors, by the names that the recipe uses.
        init: start from these weights instead of random ones.
        cache: decoded images of all data sets in order; by default one in the folder.
        max_minutes: end the run when it has taken that long; the schedule of the last stage then
            follows the clock. 0 for no end.
        on_step: called every few steps.
        on_epoch: called after every epoch, which has been saved where its AP was measured.
    """

    def __init__(
        self,
        recipe: Recipe,
        samples: Sequence[Sequence[Sample]],
        folder: Path,
        *,
        teachers: Mapping[str, TeacherSource] | None = None,
        init: Checkpoint | None = None,
        cache: ImageCache | None = None,
        max_minutes: float = 0.0,
        on_step: Callable[[Progress], None] = lambda progress: None,
        on_epoch: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.recipe, self.folder = recipe, folder
        self.samples = [sample for part in samples for sample in part]
        self.spec, self.teachers = recipe.spec, dict(teachers or {})
        self.on_step, self.on_epoch = on_step, on_epoch
        self.deadline = time.monotonic() + 60 * max_minutes if max_minutes else None
        self.device = processes.device()
        make_folder(folder)
        self.cache = cache or ImageCache(self.samples, folder / "cache", cache_side(recipe))
        self.pool = Pool(self.samples, self.cache, self.device)
        torch.manual_seed(recipe.seed)
        spec = self.spec
        self.net = UltraFace(recipe.architecture, spec.num_classes, channels=spec.channels)
        if init is not None:
            start_from(self.net, init)
        self.taught = init is not None  # the weights are no longer random ones
        self.training, self.held_out = split_all(samples, recipe.holdouts)
        if not self.training:
            raise InputError("the data set has no image left to train on; give more images")
        self.position = (0, 0, 0)  # the stage, the epoch and the step that come next
        self.best, self.images = -1.0, 0
        self.metrics = Metrics(folder) if processes.rank() == 0 else None
        self.resumed: dict[str, Any] = {}

    def resume(self, path: Path) -> None:
        """Go on from a `last.pth` exactly as if the run had never stopped.

        Raises:
            InputError: the file is not a `last.pth` of this recipe.
        """
        state = load_tensors(path)
        training = state.get("training") if isinstance(state, Mapping) else None
        if not isinstance(training, Mapping):
            raise InputError(f"{path}: holds no training state; give the last.pth of a run")
        if not written_as(training.get("recipe"), self.recipe):
            raise InputError(f"{path}: belongs to another recipe; resume with the same one")
        try:
            stage, epoch, step = map(int, training["position"])
            if not (0 <= stage <= len(self.recipe.stages) and epoch >= 0 and step >= 0):
                raise ValueError("a position outside the recipe")
            self.best, self.images = float(training["best"]), int(training["images"])
            self.net.load_state_dict(training["net"])
            self.resumed = dict(training["stage"])
        except (*PARSE_ERRORS, RuntimeError) as error:
            raise InputError(
                f"{path}: its training state is damaged; delete it to start again"
            ) from error
        self.position, self.taught = (stage, epoch, step), True

    def fit(self) -> Path:
        """Run what is left of the recipe, write `training.html`, and return the best checkpoint."""
        first = self.position[0]
        if self.metrics is not None:
            self.metrics.begin()
            self.metrics.cut(self.images)
        for number in range(first, len(self.recipe.stages)):
            StageRun(self, number, self.recipe.stages[number]).fit()
            self.position, self.taught = (number + 1, 0, 0), True
        best = self.folder / "best.pth"
        if self.metrics is not None:
            page = training_page(self.recipe, self.metrics.rows(), self._examples(best))
            write_text(self.folder / "training.html", page)
        return best

    def _examples(self, best: Path) -> list[Example]:
        """Return pictures that the best network has looked at: held-out ones where there are."""
        held_out = [index for part in self.held_out for index in part]
        net = load_checkpoint(best).build().to(self.device)
        shown = spread(held_out or self.training)
        return examples(net, self.spec, self.samples, self.cache, shown, device=self.device)

    def save(
        self, averaged: UltraFace, training: Mapping[str, Any], precision: float | None = None
    ) -> None:
        """Write `last.pth`, from which the run can go on, and `best.pth` if this is the best.

        Args:
            averaged: the network as others get it.
            training: what the stage has to remember.
            precision: the AP; None where it was not measured.
        """
        weights = {"state_dict": averaged.state_dict(), METADATA_KEY: self.spec.to_dict()}
        if precision is not None and not precision < self.best:
            self.best = precision
            save(weights, self.folder / "best.pth")
            with replacing(self.folder / f"best{SAFETENSORS}") as temporary:
                save_safetensors(weights["state_dict"], weights[METADATA_KEY], temporary)
        run = {"recipe": repr(self.recipe), "best": self.best, "images": self.images}
        state = {"training": {**run, "net": self.net.state_dict(), **training}}
        save(weights | state, self.folder / "last.pth")

    def show_pictures(self, role: Role, teacher: TeacherSource) -> None:
        """Let a teacher that is not of the family look at every picture, if it has not yet."""
        if isinstance(teacher, Path) and role.name not in self.pool.seen:
            with processes.first_alone():
                seen = look(teacher, self.cache, role.sides or (640,), self.cache.folder)
            self.pool.add_seen(role.name, seen)

    def measure(self, net: UltraFace) -> dict[str, float]:
        """Return the AP on the held-out images of each data set, `ap` first, which is their mean.

        The mean goes over the data sets, stretched and with kept proportions, easy to hard; NaN
        where nothing is held out.
        """
        found: dict[str, list[Precision]] = {}
        for keep_aspect, geometry in ((False, "stretched"), (True, "kept")):
            for held_out in filter(None, self.held_out):
                precision = average_precision(
                    net,
                    self.spec,
                    self.samples,
                    self.cache,
                    held_out,
                    keep_aspect=keep_aspect,
                    device=self.device,
                )
                found.setdefault(geometry, []).append(precision)
        every = [precision.mean for each in found.values() for precision in each]
        columns = {
            f"{geometry}_{level}": fmean(getattr(precision, level) for precision in each)
            for geometry, each in found.items()
            for level in ("easy", "medium", "hard")
        }
        return {"ap": fmean(every) if every else math.nan} | columns


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


def split_all(
    parts: Sequence[Sequence[Sample]], holdouts: Sequence[float]
) -> tuple[list[int], list[list[int]]]:
    """Split several data sets, numbered through; return what to train on and each one's holdout."""
    training, held_out, start = list[int](), list[list[int]](), 0
    for number, part in enumerate(parts):
        kept, held = split(part, holdouts[min(number, len(holdouts) - 1)])
        training += [start + index for index in kept]
        held_out.append([start + index for index in held])
        start += len(part)
    return training, held_out
