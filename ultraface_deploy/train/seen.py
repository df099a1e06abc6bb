"""What a teacher saw in whole pictures: looked at once, remembered, and merged over sizes.

A detector of another family has no anchors to compare, and asking it about every window would cost
more than the student does. So it looks at each picture once, at several sizes, and its boxes then
go through the same windows as the labels do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ultraface_deploy.detect.yunet import YuNet
from ultraface_deploy.pipeline import PostprocessOptions, iou_matrix
from ultraface_deploy.safe.files import replacing, sha256_of
from ultraface_deploy.train.data.cache import ImageCache

Seen = npt.NDArray[np.float32]
"""(N, 5): corners in pixels of the cached image, and a score; the surest first."""

_OPTIONS = PostprocessOptions(score_threshold=0.05, candidates=800, top_k=400)


def look(
    teacher: Path,
    cache: ImageCache,
    sides: Sequence[int],
    folder: Path,
    on_image: Callable[[], None] = lambda: None,
) -> list[Seen]:
    """Return what a YuNet file sees in every cached image, from `folder` where it looked before.

    Args:
        teacher: the ONNX file.
        cache: the images.
        sides: longest sides in pixels at which it looks, with kept proportions.
        folder: where the answers are remembered.
        on_image: called after every image.

    Raises:
        InputError: the file is not a YuNet.
    """
    name = f"{cache.name}|{sha256_of(teacher)}|{','.join(map(str, sides))}"
    path = folder / f"seen-{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
    if not path.is_file():
        net = YuNet(teacher)

        def look_at(number: int) -> Seen:
            bgr, _ = cache[number]
            height, width = bgr.shape[:2]
            views = []
            for side in sides:
                ratio = side / max(height, width)
                size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
                faces = net.detect(bgr, *size, _OPTIONS)
                views.append(np.concatenate([faces.boxes, faces.scores[:, None]], axis=1))
            on_image()
            return merge(views)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = list(threads.map(look_at, range(len(cache.sizes))))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, counts=[len(each) for each in found], faces=np.concatenate(found))
    with np.load(path) as stored:
        ends = np.cumsum(stored["counts"])
        return np.split(stored["faces"].astype(np.float32), ends[:-1])


def merge(views: Sequence[Seen], iou_threshold: float = 0.5) -> Seen:
    """Join the faces of several views of a picture into one list.

    Boxes that overlap are one face: its box is their mean, weighted by score, and its score the
    root of their mean square over all views, so that a view that misses it counts as 0.
    """
    rows = np.concatenate([np.asarray(view, np.float32).reshape(-1, 5) for view in views])
    source = np.repeat(np.arange(len(views)), [len(view) for view in views])
    order = np.argsort(-rows[:, 4], kind="stable")
    rows, source = rows[order], source[order]
    same = iou_matrix(rows[:, :4], rows[:, :4]) > iou_threshold
    free, merged = np.ones(len(rows), bool), []
    for number in range(len(rows)):
        if not free[number]:
            continue
        members = np.flatnonzero((same[number] & free) | (np.arange(len(rows)) == number))
        free[members] = False
        _, first = np.unique(source[members], return_index=True)
        members = members[first]  # the surest of each view
        weight = rows[members, 4:]
        box = (rows[members, :4] * weight).sum(axis=0) / weight.sum()
        merged.append([*box, np.sqrt((weight**2).sum() / len(views))])
    found = np.array(merged, np.float32).reshape(-1, 5)
    return found[np.argsort(-found[:, 4], kind="stable")]
