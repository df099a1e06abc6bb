"""Pictures with what a network finds in them and what it misses, to look at."""

# Tested by tests/train/test_page.py.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch

from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline.drawing import draw_faces
from ultraface_deploy.safe.text import counted
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.validate import detect, judge

# Pixels of the longest side: what a page shows side by side.
_SIDE = 480
# Okabe and Ito's sky blue beside the orange of faces that are found.
_MISSED = (233, 180, 86)


class Example(NamedTuple):
    """A picture as JPEG, found faces in orange and missed ones in blue, and what it shows."""

    caption: str
    jpeg: bytes


def spread(indices: Sequence[int], most: int = 8) -> list[int]:
    """Return up to `most` of the indices, evenly spread over them."""
    if len(indices) <= most:
        return list(indices)
    return [indices[round(place)] for place in np.linspace(0, len(indices) - 1, most)]


def examples(
    net: UltraFace,
    spec: ModelSpec,
    samples: Sequence[Sample],
    cache: ImageCache,
    indices: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> list[Example]:
    """Let a network look at whole pictures, resized to its input, at its score threshold."""
    net.eval()
    shown = []
    for index, found in detect(net, spec, cache, indices, False, torch.device(device)):
        faces = found[found.scores >= spec.score_threshold]
        sample, (bgr, factor) = samples[index], cache[index]
        scale = np.float32(_SIDE / max(bgr.shape[:2]))
        resized = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        faces, boxes = replace(faces, boxes=faces.boxes * scale), sample.boxes * factor * scale
        outcome = judge(faces.boxes, boxes, sample.ignored)
        picture = draw_faces(np.asarray(resized, np.uint8), faces)
        # A face is missed where no box that was found lies on it.
        for box, ignored in zip(boxes, sample.ignored, strict=True):
            if not ignored and not (judge(faces.boxes, box[None], np.array([False])) == 1).any():
                left, top, right, bottom = map(round, box.tolist())
                cv2.rectangle(picture, (left, top), (right, bottom), _MISSED, 2)
        caption = (
            f"{(outcome == 1).sum()} of {counted(int((~sample.ignored).sum()), 'face')} found, "
            f"{counted(int((outcome == -1).sum()), 'box')} without a face: {sample.image.name}"
        )
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        shown.append(Example(caption, jpeg.tobytes()))
    return shown
