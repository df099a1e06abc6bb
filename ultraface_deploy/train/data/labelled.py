"""What the readers hand over, and the one rule by which labels are left out, whatever the form.

Nothing is mended: a box without area, with its corners swapped or wholly outside its picture is
left out, counted, and named with the first places.
"""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import picture_size
from ultraface_deploy.train.data.classes import Classes
from ultraface_deploy.train.data.samples import Sample

# No picture is so large; beyond it float32 would overflow.
FAR = 1e9
_PLACES = 3
# In pixels: shares of a picture that are written in decimals are no more exact.
_EDGE = 0.01
NO_LANDMARKS = (float("nan"),) * 10


class LeftOut:
    """What readers leave out: how many of each kind, and the first places."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._places: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, place: str) -> None:
        """Count one thing, such as `a face without area`, and where it stands."""
        self._counts[kind] += 1
        if len(self._places[kind]) < _PLACES:
            self._places[kind].append(place)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def lines(self) -> list[str]:
        """Say it, a line a kind."""
        return [
            f"left out, {kind}: {count} ({', '.join(self._places[kind])}"
            f"{'' if count <= _PLACES else ', ...'})"
            for kind, count in self._counts.items()
        ]


@dataclass(frozen=True)
class LabelledBox:
    """One row of a label file: its place there, corners x1 y1 x2 y2 in pixels, its class's name.

    `name` is None where the form knows faces alone. `landmarks` are ten numbers x y, NaN where
    there are none; `ignored` marks a face that is neither to be found nor background.
    """

    place: str
    corners: tuple[float, ...]
    name: str | None = None
    ignored: bool = False
    landmarks: Sequence[float] = NO_LANDMARKS


@dataclass(frozen=True)
class LabelledImage:
    """One image and its rows; `size` (width, height) where the reader knows it already."""

    image: Path
    boxes: list[LabelledBox] = field(default_factory=list)
    size: tuple[int, int] | None = None


def to_samples(
    images: Iterable[LabelledImage], classes: Classes, left_out: LeftOut
) -> tuple[list[Sample], list[str]]:
    """Choose the classes, leave out what is no box, and make samples.

    Args:
        images: what a reader found.
        classes: which classes are wanted.
        left_out: told of every box that is left out.

    Returns:
        The samples, and what there is to say about the classes, a line each.

    Raises:
        InputError: no face is left; names the classes that were found.
    """
    images = list(images)
    sound = [_sound_boxes(image, left_out) for image in images]
    boxes = [box for boxes in sound for box in boxes]
    labels, remarks = classes.choose([box.name for box in boxes])
    if all(box.ignored for box, label in zip(boxes, labels, strict=True) if label):
        raise InputError("every face is marked as a crowd, invalid or to be ignored")
    chosen = iter(labels)
    # One iterator over all images: each takes as many labels as it has boxes.
    return [
        _sample(
            image.image, [(box, label) for box, label in zip(boxes, chosen, strict=False) if label]
        )
        for image, boxes in zip(images, sound, strict=True)
    ], remarks


def _sound_boxes(image: LabelledImage, left_out: LeftOut) -> list[LabelledBox]:
    size: tuple[int, int] | None = image.size
    sound = []
    for box in image.boxes:
        if not all(abs(value) < FAR for value in box.corners):
            left_out.add("a box that is not four numbers", box.place)
            continue
        x1, y1, x2, y2 = box.corners
        if x2 <= x1 or y2 <= y1:
            left_out.add("a box without area or with its corners swapped", box.place)
            continue
        size = size or _size_of(image.image)
        if min(x2, y2, size[0] - x1, size[1] - y1) < _EDGE:
            left_out.add("a box outside its picture", box.place)
            continue
        sound.append(box)
    return sound


def _size_of(image: Path) -> tuple[int, int]:
    """The picture's size; without limits where it cannot be read, which its user will report."""
    try:
        return picture_size(image)
    except InputError:
        return (int(FAR), int(FAR))


def _sample(image: Path, faces: list[tuple[LabelledBox, int]]) -> Sample:
    boxes = [box for box, _ in faces]
    return Sample(
        image,
        np.array([box.corners for box in boxes], np.float32).reshape(-1, 4),
        np.array([box.ignored for box in boxes], bool),
        np.array([box.landmarks for box in boxes], np.float32).reshape(-1, 5, 2),
        np.array([label for _, label in faces], np.int64),
    )
