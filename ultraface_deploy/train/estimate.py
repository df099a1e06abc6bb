"""How long a recipe takes here: a few steps of every stage, timed, times all that it has."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from pathlib import Path

import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.text import counted
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.loop import Trainer, cache_side, split_all
from ultraface_deploy.train.recipe import Recipe
from ultraface_deploy.train.stage import StageRun
from ultraface_deploy.train.teachers import TeacherSource

# Enough for a batch of every stage that ships, and decoded in a second.
_IMAGES = 48
_WARM_UP = 2


@dataclass(frozen=True)
class Cost:
    """A part of a run: how many images it works on, and seconds an image by two clocks.

    `wall` is what a watch shows, other programs included; `processor` the time of all cores that
    this program used, which on a CPU does not depend on what else runs.
    """

    part: str
    images: int
    wall: float
    processor: float

    def __str__(self) -> str:
        return (
            f"{self.part}: {counted(self.images, 'image')}, {1 / self.wall:.1f} a second, "
            f"{self.hours:.2f} h, {self.processor_hours:.2f} h of processor time"
        )

    @property
    def hours(self) -> float:
        """How long all images take."""
        return self.images * self.wall / 3600

    @property
    def processor_hours(self) -> float:
        """How long the cores work on all images, added up."""
        return self.images * self.processor / 3600


def estimate(
    recipe: Recipe,
    parts: Sequence[Sequence[Sample]],
    teachers: Mapping[str, TeacherSource],
    steps: int = 10,
) -> Iterator[Cost]:
    """Time every part of a recipe on a few of its images and yield it as soon as it is known.

    Args:
        recipe: what would be run.
        parts: the data sets that it would be run on.
        teachers: by the names that the recipe uses.
        steps: of each stage, after two that are not timed.

    Raises:
        InputError: no image is left to train on.
    """
    training, held_out = split_all(parts, recipe.holdouts)
    every = [sample for part in parts for sample in part]
    if not training:
        raise InputError("the data set has no image left to train on; give more images")
    few = [every[index] for index in training[:: max(1, len(training) // _IMAGES)]]
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        cache = ImageCache(few, Path(folder), cache_side(recipe), store="ram")
        yield clock.cost("decoding", len(every), len(few))
        whole = replace(recipe, holdouts=(0.0,))
        trainer = Trainer(whole, [few], Path(folder), teachers=teachers, cache=cache)
        roles = (role for stage in recipe.stages for role in stage.teachers)
        for role in {role.name: role for role in roles}.values():
            teacher = teachers[role.name]
            if isinstance(teacher, Path):
                clock = Clock()
                trainer.show_pictures(role, teacher)
                yield clock.cost(f"looks of {role.name}", len(every), len(few))
        for number, stage in enumerate(recipe.stages):
            images = stage.epochs * max(1, len(training) // stage.batch_size) * stage.batch_size
            yield _stage_cost(StageRun(trainer, number, stage), images, steps)
        measured = sum(-(-stage.epochs // stage.validate_every) for stage in recipe.stages)
        trainer.held_out, clock = [list(range(len(few)))], Clock()
        trainer.measure(trainer.net)
        yield clock.cost("measuring AP", measured * sum(map(len, held_out)), len(few))


class Clock:
    """Both clocks, from when it is made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def cost(self, part: str, images: int, done: int) -> Cost:
        """Return what `images` cost by the time that `done` of them took."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        wall = time.perf_counter() - self._wall
        return Cost(part, images, wall / done, (time.process_time() - self._processor) / done)


def _stage_cost(run: StageRun, images: int, steps: int) -> Cost:
    batches = chain.from_iterable(run.batches.epoch(number) for number in count())
    run.model.train()
    for batch in islice(batches, _WARM_UP):
        run.take_step(batch)
    clock = Clock()
    for batch in islice(batches, steps):
        run.take_step(batch)
    run.objective.close()
    return clock.cost(run.stage.name, images, steps * run.stage.batch_size)
