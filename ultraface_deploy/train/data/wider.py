"""Readers of WIDER FACE labels: the official text format and RetinaFace's.

Formats: http://shuoyang1213.me/WIDERFACE (readme.txt of the split archive) and the `label.txt`
of the RetinaFace data set, whose rows may carry 15 landmark numbers after the box.
"""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import read_text
from ultraface_deploy.safe.images import IMAGE_SUFFIXES
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.train.data.labelled import (
    NO_LANDMARKS,
    LabelledBox,
    LabelledImage,
    LeftOut,
)
from ultraface_deploy.train.data.pictures import Pictures

_INVALID = 7  # column of the official format: x y w h blur expression illumination invalid ...
_NO_ROW = "a row that is not a face (x y width height)"
_Line = tuple[int, str]


def read_wider(labels: Path, images: Path, left_out: LeftOut) -> Iterator[LabelledImage]:
    """Yield the images of an official `wider_face_*_bbx_gt.txt`.

    Args:
        labels: the text file: a file name, a count, then a row for each face. After a count of 0
            the official files have a row of zeros; others leave it out.
        images: the folder that the file names are relative to.
        left_out: told of every damaged row.

    Raises:
        InputError: the file is not in this format.
    """
    pictures = Pictures(images)
    lines = deque(_numbered(labels))
    while lines:
        number, name = lines.popleft()
        if not _is_picture(name):
            raise InputError(
                f"{labels}:{number}: {name[:60]!r} is not an image name; "
                "give the official text labels"
            )
        number, count = lines.popleft() if lines else (number, "")
        if not (count.isdecimal() and len(count) < 10):
            raise InputError(f"{labels}:{number}: the number of faces of {name} is missing")
        boxes = _rows(lines, int(count), labels.name, left_out)
        yield LabelledImage(pictures.find(name), boxes)


def _rows(lines: deque[_Line], count: int, source: str, left_out: LeftOut) -> list[LabelledBox]:
    """Take the rows of one picture: as many as its count says, or one of zeros for none."""
    boxes = []
    for _ in range(max(1, count)):
        if not lines or _is_picture(lines[0][1]):
            if count:
                place = f"{source}:{lines[0][0]}" if lines else f"{source}: end"
                left_out.add("faces that a count announces and that are not there", place)
            break
        number, row = lines.popleft()
        values = _numbers(row)
        if not count and values and not any(values):
            break
        if box := _box(values, f"{source}:{number}", left_out, _wider_face):
            boxes.append(box)
    return boxes


def read_retinaface(labels: Path, images: Path, left_out: LeftOut) -> Iterator[LabelledImage]:
    """Yield the images of a RetinaFace `label.txt`: `# name`, then a row for each face.

    Arguments and errors are those of `read_wider`.
    """
    pictures = Pictures(images)
    image: LabelledImage | None = None
    for number, line in _numbered(labels):
        if line.startswith("#"):
            if image is not None:
                yield image
            image = LabelledImage(pictures.find(line[1:].strip()))
        elif image is None:
            raise InputError(f"{labels}:{number}: a face before the first `# image` line")
        elif box := _box(_numbers(line), f"{labels.name}:{number}", left_out, _retinaface_face):
            image.boxes.append(box)
    if image is not None:
        yield image


_Extras = tuple[bool, tuple[float, ...]]  # ignored, ten landmark coordinates


def _wider_face(values: list[float]) -> _Extras:
    return len(values) > _INVALID and values[_INVALID] == 1, NO_LANDMARKS


def _retinaface_face(values: list[float]) -> _Extras:
    # Landmarks come as x y flag; -1 stands for a face whose landmarks nobody could place.
    points = tuple(value for i, value in enumerate(values[4:19]) if i % 3 != 2)
    known = len(points) == 10 and min(points) >= 0
    return False, points if known else NO_LANDMARKS


def _box(
    values: list[float], place: str, left_out: LeftOut, extras: Callable[[list[float]], _Extras]
) -> LabelledBox | None:
    if len(values) < 4 or not all(abs(value) < float("inf") for value in values):
        left_out.add(_NO_ROW, place)
        return None
    x, y, width, height = values[:4]
    ignored, landmarks = extras(values)
    return LabelledBox(place, (x, y, x + width, y + height), None, ignored, landmarks)


def _numbers(row: str) -> list[float]:
    try:
        return [float(value) for value in row.split()]
    except ValueError:
        return []


def _is_picture(line: str) -> bool:
    return Path(line).suffix.lower() in IMAGE_SUFFIXES


def _numbered(labels: Path) -> Iterator[_Line]:
    for number, line in enumerate(read_text(labels, Limit.TEXT).splitlines(), 1):
        if line.strip():
            yield number, line.strip()
