"""Two checkpoints on images held out of training, and how much of the difference is chance."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.models.pull import file_or_name
from ultraface_deploy.train.data import Sample, read_dataset
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.distill import fused
from ultraface_deploy.train.loop import split_all
from ultraface_deploy.train.validate import Judgement, judgements


@dataclass(frozen=True)
class HeldOutChange:
    """AP of one level before and after; `low` and `high` bound the change with 95 % confidence."""

    data: str
    images: int
    geometry: str
    level: str
    before: float
    after: float
    low: float
    high: float


def compare_held_out(
    before: Path,
    after: Path,
    data: Sequence[Path],
    holdouts: Sequence[float],
    *,
    size: tuple[int, int] | None = None,
    draws: int = 1000,
    on_image: Callable[[], None] = lambda: None,
) -> list[HeldOutChange]:
    """Compare two checkpoints on the images that training holds out of each data set.

    Images are drawn anew with replacement, the same for both (Efron 1979); the bounds are
    percentiles of the change.

    Args:
        before: the baseline: a file, or the name of a model that ships or was pulled.
        after: what is compared with it.
        data: data sets.
        holdouts: shares of images kept for AP, as in a recipe: one for each data set, the last
            one serves all further sets.
        size: (width, height) of the input; by default that of `after`.
        draws: how often images are drawn anew.
        on_image: called after each image that is decoded.

    Raises:
        InputError: a file cannot be used, the networks have other classes, or no image is left.
    """
    pair = [load_checkpoint(file_or_name(each)) for each in (before, after)]
    if pair[0].spec.num_classes != pair[1].spec.num_classes:
        raise InputError(
            f"{before} and {after}: trained for other classes; compare two of the same"
        )
    width, height = size or (pair[1].spec.width, pair[1].spec.height)
    parts = _held_out(data, holdouts)
    nets = [(fused(each.build()), each.spec.resized(width, height)) for each in pair]
    changes = []
    with tempfile.TemporaryDirectory() as folder:
        for root, samples in zip(data, parts, strict=True):
            cache = ImageCache(samples, Path(folder), 2 * max(width, height), on_image, "ram")
            for keep_aspect, geometry in ((False, "stretched"), (True, "aspect kept")):
                told = root.name, len(samples), geometry
                old, new = (
                    judgements(*net, samples, cache, range(len(samples)), keep_aspect=keep_aspect)
                    for net in nets
                )
                for level in old:
                    numbers = _change(old[level], new[level], len(samples), draws)
                    changes.append(HeldOutChange(*told, level, *numbers))
    return changes


def _held_out(data: Sequence[Path], holdouts: Sequence[float]) -> list[list[Sample]]:
    """Return what training would hold out of each data set."""
    parts = [read_dataset(root, "train") for root in data]
    every = [sample for part in parts for sample in part]
    _, held = split_all(parts, holdouts)
    for root, indices in zip(data, held, strict=True):
        if not indices:
            raise InputError(
                f"{root}: the share of `holdout` leaves no image; give more images or a larger one"
            )
    return [[every[index] for index in indices] for indices in held]


def _change(
    before: Sequence[Judgement], after: Sequence[Judgement], images: int, draws: int
) -> tuple[float, float, float, float]:
    """Return AP before, AP after and the bounds of the change; the mean of several classes."""
    generator = np.random.default_rng(0)
    changes = []
    for _ in range(draws):
        times = np.bincount(generator.integers(images, size=images), minlength=images)
        changes.append(
            fmean(new.ap(times) - old.ap(times) for old, new in zip(before, after, strict=True))
        )
    low, high = np.quantile(changes, [0.025, 0.975])
    return (
        fmean(each.ap() for each in before),
        fmean(each.ap() for each in after),
        float(low),
        float(high),
    )


def comparison_table(changes: Sequence[HeldOutChange]) -> str:
    """Return a Markdown table: a row for each data set and geometry, a column for each level."""
    return "\n".join(_lines(changes)) + "\n"


def _lines(changes: Sequence[HeldOutChange]) -> Iterator[str]:
    levels = list(dict.fromkeys(change.level for change in changes))
    yield "| images held out | " + " | ".join(f"{level} | change" for level in levels) + " |"
    yield "| --- |" + " ---: | --- |" * len(levels)
    rows = dict.fromkeys((each.data, each.images, each.geometry) for each in changes)
    for row in rows:
        cells = [
            f"{each.before:.4f} -> {each.after:.4f} | "
            f"{each.after - each.before:+.3f} [{each.low:+.3f}, {each.high:+.3f}]"
            for each in changes
            if (each.data, each.images, each.geometry) == row
        ]
        yield f"| {row[1]} of {row[0]}, {row[2]} | " + " | ".join(cells) + " |"
