"""One order for the scores of all kinds of anchors: a line on the logit of each kind.

A kind is a box size of a feature map, and has weights of its own in the classification head. So a
score of one kind need not be worth what it is worth from another, and AP, which ranks all boxes
together, suffers. Two numbers for each kind put that right; they are fitted to the AP itself,
on images that were trained on, and are folded into the heads' last convolutions: no cost, in every
format, and each kind keeps its own order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.anchors import make_anchors
from ultraface_deploy.family.boxes import decode
from ultraface_deploy.family.checkpoint import Checkpoint, load_checkpoint
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.models.pull import file_or_name
from ultraface_deploy.pipeline import PostprocessOptions, iou_matrix
from ultraface_deploy.train.data import Sample, read_dataset
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.distill import fused
from ultraface_deploy.train.loop import save, split_all
from ultraface_deploy.train.ranking import WEIGHTS, Floats, Lines, Seen, fit, precision
from ultraface_deploy.train.scores import rescaled
from ultraface_deploy.train.validate import Outputs, ignored_faces, outputs

IMAGES = 1200
"""So many are looked at where nobody says how many."""
# What lies below decides nothing.
_LOWEST, _CANDIDATES = -4.0, 500


@dataclass(frozen=True)
class Balanced:
    """The lines, and AP of easy, medium and hard, (3,), on the images they were fitted on."""

    lines: Lines
    before: Floats
    after: Floats


def balance_checkpoint(
    checkpoint: Path,
    data: Sequence[Path],
    output: Path,
    holdouts: Sequence[float] = (0.04,),
    *,
    images: int = IMAGES,
    weights: Sequence[float] = WEIGHTS,
    on_image: Callable[[], None] = lambda: None,
    on_step: Callable[[], None] = lambda: None,
) -> Balanced:
    """Write a checkpoint again with the scores of its kinds of anchors in one order.

    Args:
        checkpoint: a file, or the name of a model that ships or was pulled.
        data: data sets, best those it was trained on, so that what was held out can judge.
        output: the new checkpoint.
        holdouts: shares that training held out, see `split_all`; those images are not looked at.
        images: how many of the others are looked at, in both geometries.
        weights: how often AP of easy, medium and hard counts.
        on_image: called after each image that is decoded.
        on_step: called after each step of the fit.

    Raises:
        InputError: a file cannot be used, several classes, or no image is left.
    """
    own = load_checkpoint(file_or_name(checkpoint))
    parts = [read_dataset(root, "train") for root in data]
    training, _ = split_all(parts, holdouts)
    if not training:
        raise InputError("the shares of `holdout` leave no image to look at; give more images")
    every = [sample for part in parts for sample in part]
    samples = [every[index] for index in some(training, images)]
    side = 2 * max(own.spec.width, own.spec.height)
    with tempfile.TemporaryDirectory() as folder:
        cache = ImageCache(samples, Path(folder), side, on_image, "ram")
        indices = range(len(samples))
        return write_balanced(
            own, samples, cache, indices, output, weights=weights, on_step=on_step
        )


def write_balanced(
    own: Checkpoint,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    output: Path,
    *,
    weights: Sequence[float] = WEIGHTS,
    on_step: Callable[[], None] = lambda: None,
) -> Balanced:
    """Write a checkpoint with balanced scores, fitted on the given samples.

    Raises:
        InputError: the network has several classes.
    """
    if own.spec.num_classes != 2:
        classes = own.spec.num_classes - 1
        raise InputError(f"balancing is for one class, this network has {classes}; leave it out")
    net = fused(own.build())
    views = [
        [_seen(each, samples, cache) for each in outputs(net, own.spec, cache, indices, keep)]
        for keep in (False, True)
    ]
    lines = fit(views, sum(map(len, own.spec.anchors.min_boxes)), weights, on_step)
    changed = rescaled(own.state_dict, lines.scales, lines.shifts)
    save({"state_dict": changed, METADATA_KEY: own.spec.to_dict()}, output)
    before, after = (
        np.mean([precision(view, each) for view in views], axis=0)
        for each in (Lines.same(len(lines.scales)), lines)
    )
    return Balanced(lines, before, after)


def some(indices: Sequence[int], count: int = IMAGES) -> list[int]:
    """Return up to `count` of some images, spread evenly."""
    chosen = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return [indices[each] for each in chosen]


def _seen(found: Outputs, samples: Sequence[Sample], cache: ImageCache) -> Seen:
    spec, (logits, offsets) = found.spec, (found.logits, found.offsets)
    differences = logits[:, 1] - logits[:, 0]
    chosen = np.argsort(-differences, kind="stable")[:_CANDIDATES]
    chosen = chosen[differences[chosen] > _LOWEST]
    coding, anchors = spec.anchors, make_anchors(spec)[chosen]
    boxes = decode(offsets[chosen], anchors, coding.center_variance, coding.size_variance)
    # The exponential of a wild offset is no box.
    finite = np.isfinite(boxes).all(axis=1)
    chosen, boxes = chosen[finite], boxes[finite].astype(float) * np.tile(found.extent, 2)
    faces, ignored = ignored_faces(samples[found.index], cache, found.index)
    return Seen(
        differences[chosen].astype(np.float64),
        _kinds(spec)[chosen],
        iou_matrix(boxes, boxes) > PostprocessOptions().iou_threshold,
        iou_matrix(boxes, faces),
        ignored,
    )


def _kinds(spec: ModelSpec) -> npt.NDArray[np.int64]:
    """Return the kind of each anchor, (N,): cell by cell, the sizes of a feature map in turn."""
    kinds, first = [], 0
    for (width, height), sides in zip(spec.feature_maps, spec.anchors.min_boxes, strict=True):
        kinds.append(np.tile(np.arange(first, first + len(sides)), width * height))
        first += len(sides)
    return np.concatenate(kinds)
