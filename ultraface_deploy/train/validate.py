"""Average precision on held-out images while training runs."""

# Tested by tests/train/test_loop.py.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces, PostprocessOptions, iou_matrix, postprocess, preprocess
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.data.samples import Sample

# Low enough that the whole precision-recall curve is seen.
_OPTIONS = PostprocessOptions(score_threshold=0.02, candidates=800, top_k=400)


@torch.no_grad()
def average_precision(
    net: UltraFace,
    spec: ModelSpec,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    min_face: float = 7.0,
    device: torch.device | str = "cpu",
) -> float:
    """Return the AP at IoU 0.5 over the given samples, each resized whole to the input.

    Of several classes it is the mean. Faces that are ignored or smaller than `min_face` pixels of
    the network input neither count as missed nor, when found, as false.
    """
    net.eval()
    found = []
    for index in indices:
        image, factor = cache[index]
        logits, offsets = net(torch.from_numpy(preprocess(image, spec)).to(device))
        size = (image.shape[1], image.shape[0])
        scores = logits.softmax(2).float().cpu().numpy()
        faces = postprocess(scores, offsets.float().cpu().numpy(), spec, size, _OPTIONS)
        sample = samples[index]
        boxes = sample.boxes * np.float32(factor)
        inputs = (boxes[:, 2:] - boxes[:, :2]) * np.array([spec.width, spec.height]) / size
        ignored = sample.ignored | (inputs.mean(axis=1) < min_face)
        found.append((faces, boxes, ignored, sample.labels))
    areas = [
        _area_under_curve(
            [
                (faces[faces.labels == label], boxes[labels == label], ignored[labels == label])
                for faces, boxes, ignored, labels in found
            ]
        )
        for label in range(1, spec.num_classes)
    ]
    return float(np.mean(areas))


def _area_under_curve(
    found: Sequence[tuple[Faces, npt.NDArray[np.float32], npt.NDArray[np.bool_]]],
) -> float:
    """Area under the monotone precision-recall curve (PASCAL VOC 2010)."""
    total = sum(int((~ignored).sum()) for _, _, ignored in found)
    scores = np.concatenate([faces.scores for faces, _, _ in found])
    outcome = np.concatenate(
        [_judge(faces.boxes, boxes, ignored) for faces, boxes, ignored in found]
    )
    outcome = outcome[np.argsort(-scores, kind="stable")]
    hits, misses = (outcome == 1).cumsum(), (outcome == -1).cumsum()
    recall = np.concatenate([[0.0], hits / max(1, total)])
    precision = np.concatenate([hits / np.maximum(1, hits + misses), [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * envelope[:-1]).sum())


def _judge(
    found: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    ignored: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return for each box found, best first: 1 a face, -1 none, 0 an ignored one."""
    outcome = np.full(len(found), -1)
    if not len(boxes) or not len(found):
        return outcome
    overlaps = iou_matrix(found, boxes)
    taken = np.zeros(len(boxes), bool)
    for row, face in enumerate(overlaps.argmax(axis=1)):
        if overlaps[row, face] >= 0.5:
            outcome[row] = 0 if ignored[face] else (-1 if taken[face] else 1)
            taken[face] = True
    return outcome
