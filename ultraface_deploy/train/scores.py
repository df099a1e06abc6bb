"""Scores that mean what another network's mean: calibration folded into the weights.

Two networks of equal AP may give very different scores to the same face, and a threshold that
somebody chose for one then is wrong for the other. AP does not see it: it knows order only. Here
the logit difference of face and background is mapped by two numbers, which the last convolutions
of the classification heads absorb, so that it costs nothing and reaches every format.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import Checkpoint, load_checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.train.data import Sample, read_dataset
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.distill import fused
from ultraface_deploy.train.loop import save, split
from ultraface_deploy.train.validate import judged_scores

# What is reported. The map is fitted over a wider range: three points of a hundred images are
# mostly chance, and people set thresholds from 0.3 on.
THRESHOLDS = (0.5, 0.6, 0.7)
FITTED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
# The last convolution of a head: the third step of a separable one, or the only one.
_LAST = re.compile(r"classification_headers\.\d+(\.2)?")
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Judged:
    """The scores of what a network found in `images` images, and which of it was a face."""

    scores: Floats
    right: npt.NDArray[np.bool_]
    images: int

    def false_positives(self, threshold: float) -> float:
        """Return how many boxes an image that are not a face score at least `threshold`."""
        return float((self.scores[~self.right] >= threshold).sum() / self.images)

    def reliability(self, edges: Sequence[float]) -> list[tuple[float, float, int]]:
        """Return for each range of scores its mean, the share of faces in it, and how many."""
        found = []
        for low, high in pairwise(edges):
            inside = (self.scores >= low) & (self.scores < high)
            if inside.any():
                share = float(self.right[inside].mean())
                found.append((float(self.scores[inside].mean()), share, int(inside.sum())))
        return found


def judge(
    net: UltraFace,
    spec: ModelSpec,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    *,
    keep_aspect: bool = False,
) -> Judged:
    """Run a network over images and tell its faces from its false positives.

    Boxes on faces that are labelled to be ignored, and second boxes on a face, count as neither.
    """
    scores, right = judged_scores(net, spec, samples, cache, indices, keep_aspect=keep_aspect)
    return Judged(scores, right, len(indices))


def matching_map(
    own: Judged, reference: Judged, thresholds: Sequence[float] = FITTED
) -> tuple[float, float]:
    """Return (scale, shift) of the logit that give the reference's false positives an image.

    At each threshold the reference has so many; the own score that is exceeded as often has to
    become that threshold. A line through the logits of these pairs, by least squares.

    Raises:
        InputError: too few false positives to tell, or their scores do not differ.
    """
    mine = np.sort(own.scores[~own.right])[::-1]
    pairs = []
    for threshold in thresholds:
        rank = round(reference.false_positives(threshold) * own.images)
        if not 10 <= rank <= len(mine):
            raise InputError(
                f"{rank} false positives at score {threshold}: too few to match scores by; "
                "give more images"
            )
        pairs.append((_logit(float(mine[rank - 1])), _logit(threshold)))
    found, wanted = np.array(pairs).T
    if np.ptp(found) < 0.1:
        raise InputError(
            "false positives score nearly the same: nothing to match scores by; give more images"
        )
    scale, shift = np.polyfit(found, wanted, 1)
    if scale <= 0:
        raise InputError("the scores do not rise together; give more images")
    return float(scale), float(shift)


def rescaled(
    state_dict: Mapping[str, torch.Tensor],
    scale: float | Floats,
    shift: float | Floats,
    num_classes: int = 2,
) -> dict[str, torch.Tensor]:
    """Return weights whose logit differences to background are `scale * difference + shift`.

    Args:
        state_dict: of a network of the family.
        scale: of all logits, or of each kind of anchor, (K,), in the order of the feature maps.
        shift: as `scale`.
        num_classes: of the network, background counted.
    """
    names = (name.rpartition(".")[0] for name in state_dict)
    heads = sorted({name for name in names if _LAST.fullmatch(name)})
    ends = np.cumsum([len(state_dict[f"{head}.bias"]) // num_classes for head in heads])
    lines = (np.split(np.broadcast_to(each, ends[-1:]), ends[:-1]) for each in (scale, shift))
    changed = dict(state_dict)
    for head, *line in zip(heads, *lines, strict=True):
        weight, bias = state_dict[f"{head}.weight"], state_dict[f"{head}.bias"]
        factor, added = (torch.tensor(each.repeat(num_classes)).to(bias) for each in line)
        face = torch.arange(len(bias)) % num_classes > 0
        changed[f"{head}.weight"] = weight * factor[:, None, None, None]
        changed[f"{head}.bias"] = bias * factor + added * face
    return changed


@dataclass(frozen=True)
class Matched:
    """How scores were matched.

    `false_positives`: for each threshold those an image before, of the reference, and now;
    `reliability`: of the new scores, see `Judged.reliability`.
    """

    scale: float
    shift: float
    false_positives: list[tuple[float, float, float, float]]
    reliability: list[tuple[float, float, int]]


def match_checkpoint(
    checkpoint: Path,
    like: Path,
    data: Sequence[Path],
    output: Path,
    holdout: float,
    on_image: Callable[[], None] = lambda: None,
    *,
    keep_aspect: bool = False,
) -> Matched:
    """Write a checkpoint again with scores that mean what another's mean.

    Args:
        checkpoint: whose scores change.
        like: whose scores they shall mean.
        data: data sets; best what neither was trained on.
        output: the new checkpoint.
        holdout: share of the images to use, chosen by a hash of the name.
        on_image: called after each image that is decoded.
        keep_aspect: look at the images with kept proportions, not stretched to the input.

    Raises:
        InputError: a file cannot be used, or there are too few false positives to match.
    """
    every = [sample for root in data for sample in read_dataset(root, "train")]
    _, held = split(every, holdout)
    samples = [every[index] for index in held]
    own, reference = load_checkpoint(checkpoint), load_checkpoint(like)
    side = 2 * max(own.spec.width, own.spec.height)
    with tempfile.TemporaryDirectory() as folder:
        cache = ImageCache(samples, Path(folder), side, on_image, "ram")
        indices = range(len(samples))
        return write_matched(
            own, reference, samples, cache, indices, output, keep_aspect=keep_aspect
        )


def write_matched(
    own: Checkpoint,
    reference: Checkpoint,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    output: Path,
    *,
    keep_aspect: bool = False,
) -> Matched:
    """Write a checkpoint with the scores of another, matched on the given samples.

    Raises:
        InputError: there are too few false positives to match.
    """
    before, wanted = (
        judge(fused(each.build()), each.spec, samples, cache, indices, keep_aspect=keep_aspect)
        for each in (own, reference)
    )
    scale, shift = matching_map(before, wanted)
    changed = rescaled(own.state_dict, scale, shift, own.spec.num_classes)
    save({"state_dict": changed, METADATA_KEY: own.spec.to_dict()}, output)
    scores = before.scores.astype(np.float64).clip(1e-9, 1 - 1e-9)
    mapped = 1 / (1 + np.exp(-(scale * np.log(scores / (1 - scores)) + shift)))
    after = Judged(mapped, before.right, before.images)
    return Matched(
        scale,
        shift,
        [
            (t, before.false_positives(t), wanted.false_positives(t), after.false_positives(t))
            for t in THRESHOLDS
        ],
        after.reliability(np.linspace(0.1, 1.0, 10).tolist()),
    )


def _logit(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return float(np.log(score / (1 - score)))
