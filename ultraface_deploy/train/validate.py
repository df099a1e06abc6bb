"""Average precision on held-out images while training runs, in both geometries."""

# Tested by tests/train/test_loop.py.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import torch

from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import MIN_SIDE, ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, iou_matrix, postprocess, preprocess
from ultraface_deploy.pipeline.view import letterbox
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.data.samples import Sample

# Low enough that the whole precision-recall curve is seen.
_OPTIONS = PostprocessOptions(score_threshold=0.02, candidates=800, top_k=400)
# Smallest faces of WIDER FACE's easy, medium and hard in its images, which are 1024 pixels wide.
_SMALLEST = {"easy": 50 / 1024, "medium": 30 / 1024, "hard": 10 / 1024}
_BATCH = 32
_GRID = 64


@dataclass(frozen=True)
class _Fitted:
    """An image as the network reads it, and the pixels of the image that its input spans."""

    index: int
    tensor: npt.NDArray[np.float32]
    extent: tuple[float, float]


@dataclass(frozen=True)
class Outputs:
    """What a network says of an image: `logits` (N, C) and `offsets` (N, 4) of `spec`'s anchors.

    `extent` is how many pixels (width, height) of the cached image its input spans.
    """

    index: int
    spec: ModelSpec
    logits: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]
    extent: tuple[float, float]


@dataclass(frozen=True)
class Precision:
    """AP at IoU 0.5 of faces of three sizes, each including the larger ones."""

    easy: float
    medium: float
    hard: float

    @property
    def mean(self) -> float:
        """Mean of the three."""
        return (self.easy + self.medium + self.hard) / 3


@dataclass(frozen=True)
class Judgement:
    """All boxes found in some images, (N,) each, the surest first, and what became of them.

    `outcome` is 1 for a face, -1 for none and 0 for one to ignore, `image` the position of its
    image; `faces` (I,) how many faces count in each image.
    """

    outcome: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]
    faces: npt.NDArray[np.int64]

    def ap(self, draws: npt.NDArray[np.int64] | None = None) -> float:
        """Return the area under the monotone precision-recall curve (PASCAL VOC 2010).

        Args:
            draws: (I,) how often each image counts; None for once each.
        """
        draws = np.ones(len(self.faces), np.int64) if draws is None else draws
        times = draws[self.image]
        hits = ((self.outcome == 1) * times).cumsum()
        misses = ((self.outcome == -1) * times).cumsum()
        recall = np.concatenate([[0.0], hits / max(1, int(draws @ self.faces))])
        precision = np.concatenate([hits / np.maximum(1, hits + misses), [0.0]])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(recall) * envelope[:-1]).sum())


def average_precision(
    net: UltraFace,
    spec: ModelSpec,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    *,
    keep_aspect: bool = False,
    device: torch.device | str = "cpu",
) -> Precision:
    """Return the AP over the given samples, see `judgements`; of several classes it is the mean."""
    judged = judgements(net, spec, samples, cache, indices, keep_aspect=keep_aspect, device=device)
    return Precision(
        **{level: fmean(each.ap() for each in classes) for level, classes in judged.items()}
    )


@torch.no_grad()
def judgements(
    net: UltraFace,
    spec: ModelSpec,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    *,
    keep_aspect: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, list[Judgement]]:
    """Return for easy, medium and hard what became of the boxes of each class.

    Each image is resized whole to the input or, with `keep_aspect`, so that its longest side is
    the input's. Faces that are ignored or too small for a level neither count as missed nor, when
    found, as false. The images are in the order of `indices`.
    """
    net.eval()
    classes = range(1, spec.num_classes)
    found = dict(detect(net, spec, cache, indices, keep_aspect, torch.device(device)))
    judged: dict[str, list[Judgement]] = {}
    for level in _SMALLEST:
        judged[level] = []
        for number in classes:
            rows = []
            for index in indices:
                sample, faces = samples[index], found[index]
                boxes, ignored = ignored_faces(sample, cache, index)
                own, mine = sample.labels == number, faces.labels == number
                rows.append((faces[mine], boxes[own], ignored[level][own]))
            judged[level].append(_judgement(rows))
    return judged


def _judgement(
    found: Sequence[tuple[Faces, npt.NDArray[np.float32], npt.NDArray[np.bool_]]],
) -> Judgement:
    outcomes = [judge(faces.boxes, boxes, ignored) for faces, boxes, ignored in found]
    order = np.argsort(-np.concatenate([faces.scores for faces, _, _ in found]), kind="stable")
    return Judgement(
        outcome=np.concatenate(outcomes)[order],
        image=np.repeat(np.arange(len(found)), [len(each) for each in outcomes])[order],
        faces=np.array([int((~ignored).sum()) for _, _, ignored in found]),
    )


def judged_scores(
    net: UltraFace,
    spec: ModelSpec,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    *,
    keep_aspect: bool = False,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the scores of all boxes that are a face or none, (N,), and which are a face, (N,)."""
    net.eval()
    scores, outcomes = [], []
    for index, faces in detect(net, spec, cache, indices, keep_aspect, torch.device("cpu")):
        boxes = samples[index].boxes * np.float32(cache.factors[index])
        scores.append(faces.scores)
        outcomes.append(judge(faces.boxes, boxes, samples[index].ignored))
    outcome = np.concatenate(outcomes)
    return np.concatenate(scores)[outcome != 0], outcome[outcome != 0] == 1


def detect(
    net: UltraFace,
    spec: ModelSpec,
    cache: ImageCache,
    indices: Sequence[int],
    keep_aspect: bool,
    device: torch.device,
) -> Iterator[tuple[int, Faces]]:
    """Yield the index of each image, and what the network finds in it from a score of 0.02 on.

    Boxes are in pixels of the cached image; for the order see `outputs`.
    """
    for each in outputs(net, spec, cache, indices, keep_aspect, device):
        scores = torch.from_numpy(each.logits[None]).softmax(2).numpy()
        offsets = each.offsets[None]
        yield each.index, postprocess(scores, offsets, each.spec, each.extent, _OPTIONS)


def outputs(
    net: UltraFace,
    spec: ModelSpec,
    cache: ImageCache,
    indices: Sequence[int],
    keep_aspect: bool = False,
    device: torch.device | str = "cpu",
) -> Iterator[Outputs]:
    """Yield what the network says of each image.

    Images of one input size run together, so that they come in another order where `keep_aspect`
    gives them several.
    """
    waiting: dict[tuple[int, int], list[_Fitted]] = defaultdict(list)
    for position, index in enumerate(indices, 1):
        bgr, _ = cache[index]
        extent, size = (bgr.shape[1], bgr.shape[0]), (spec.width, spec.height)
        if keep_aspect:
            ratio = max(size) / max(extent)
            size = (_on_grid(extent[0] * ratio), _on_grid(extent[1] * ratio))
            bgr, extent = letterbox(bgr, *size, spec, ratio)
        waiting[size].append(_Fitted(index, preprocess(bgr, spec.resized(*size)), extent))
        last = position == len(indices)
        for each in list(waiting) if last else [size]:
            if last or len(waiting[each]) == _BATCH:
                yield from _run(net, spec.resized(*each), waiting.pop(each), device)


@torch.no_grad()
def _run(
    net: UltraFace, spec: ModelSpec, images: Sequence[_Fitted], device: torch.device | str
) -> Iterator[Outputs]:
    tensor = torch.from_numpy(np.concatenate([each.tensor for each in images]))
    logits, offsets = (each.cpu().numpy() for each in net(tensor.to(device)))
    for row, each in enumerate(images):
        yield Outputs(each.index, spec, logits[row], offsets[row], each.extent)


def _on_grid(side: float) -> int:
    """As `eval --scale` pads: few sizes, so that images run together."""
    return max(MIN_SIDE, -(-round(side) // _GRID) * _GRID)


def ignored_faces(
    sample: Sample, cache: ImageCache, index: int
) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[np.bool_]]]:
    """Return an image's boxes (F, 4) in pixels as cached, and by level which do not count."""
    boxes = sample.boxes * np.float32(cache.factors[index])
    sizes = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1) / cache.sizes[index].max()
    return boxes, {level: sample.ignored | (sizes < least) for level, least in _SMALLEST.items()}


def judge(
    found: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    ignored: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return for each box found, best first: 1 a face, -1 none, 0 an ignored one."""
    return outcomes(iou_matrix(found, boxes), ignored)


def outcomes(
    overlaps: npt.NDArray[np.floating], ignored: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return the same from the IoU (N, F) of boxes found, best first, with faces."""
    outcome = np.full(len(overlaps), -1)
    if overlaps.size:
        face = overlaps.argmax(axis=1)
        rows = (overlaps.max(axis=1) >= 0.5).nonzero()[0]
        _, first = np.unique(face[rows], return_index=True)
        outcome[rows[first]] = 1  # later boxes on the same face are none
        outcome[rows[ignored[face[rows]]]] = 0
    return outcome
