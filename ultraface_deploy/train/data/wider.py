"""Readers of WIDER FACE labels: the official text format and RetinaFace's.

Formats: http://shuoyang1213.me/WIDERFACE (readme.txt of the split archive) and the `label.txt`
of the RetinaFace data set, whose rows may carry 15 landmark numbers after the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import inside
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.train.data.samples import Sample

Skip = Callable[[str], None]
# No picture is so large; beyond it float32 would overflow.
FAR = 1e9
_INVALID = 7  # column of the official format: x y w h blur expression illumination invalid ...


def read_wider(labels: Path, images: Path, skip: Skip) -> Iterator[Sample]:
    """Yield the samples of an official `wider_face_*_bbx_gt.txt`.

    Args:
        labels: the text file: a file name, a count, then a row for each face.
        images: the folder that the file names are relative to.
        skip: told of every damaged row, one line each; the row is left out.

    Raises:
        InputError: the file is not in this format.
    """
    lines = iter(_numbered(labels))
    for number, name in lines:
        if not name.lower().endswith((".jpg", ".jpeg", ".png")):
            raise InputError(
                f"{labels}:{number}: {name[:60]!r} is not an image name; "
                "give the official text labels"
            )
        number, count = next(lines, (number, ""))
        if not (count.isdecimal() and len(count) < 10):
            raise InputError(f"{labels}:{number}: the number of faces of {name} is missing")
        # An image without faces still has one row, of zeros.
        rows = islice(lines, max(1, int(count)))
        yield _sample(inside(images, name), rows, f"{labels.name}", skip, _wider_face)


def read_retinaface(labels: Path, images: Path, skip: Skip) -> Iterator[Sample]:
    """Yield the samples of a RetinaFace `label.txt`: `# name`, then a row for each face.

    Arguments and errors are those of `read_wider`.
    """
    name, rows = "", list[tuple[int, str]]()
    for number, line in _numbered(labels):
        if line.startswith("#"):
            if name:
                yield _sample(inside(images, name), iter(rows), labels.name, skip, _retinaface_face)
            name, rows = line[1:].strip(), []
        elif not name:
            raise InputError(f"{labels}:{number}: a face before the first `# image` line")
        else:
            rows.append((number, line))
    if name:
        yield _sample(inside(images, name), iter(rows), labels.name, skip, _retinaface_face)


_Face = tuple[list[float], bool, list[float]]  # box x y w h, ignored, ten landmark coordinates


def _wider_face(values: list[float]) -> _Face:
    ignored = len(values) > _INVALID and values[_INVALID] == 1
    return values[:4], ignored, [np.nan] * 10


def _retinaface_face(values: list[float]) -> _Face:
    # Landmarks come as x y flag; -1 stands for a face whose landmarks nobody could place.
    points = [value for i, value in enumerate(values[4:19]) if i % 3 != 2]
    known = len(points) == 10 and min(points) >= 0
    return values[:4], False, points if known else [np.nan] * 10


def _sample(
    image: Path,
    rows: Iterator[tuple[int, str]],
    source: str,
    skip: Skip,
    parse: Callable[[list[float]], _Face],
) -> Sample:
    faces = []
    for number, row in rows:
        try:
            values = [float(value) for value in row.split()]
        except ValueError:
            values = []
        if len(values) < 4 or not np.abs(values).max() < FAR:
            skip(f"{source}:{number}: {row[:60]!r} is not a face (x y width height); skipped")
        elif values[2] > 0 and values[3] > 0:
            faces.append(parse(values))
        elif any(values):
            skip(f"{source}:{number}: {image.name} has a face without area; skipped")
    boxes = np.array([face[0] for face in faces], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Sample(
        image,
        boxes,
        np.array([face[1] for face in faces], bool),
        np.array([face[2] for face in faces], np.float32).reshape(-1, 5, 2),
    )


def _numbered(labels: Path) -> Iterator[tuple[int, str]]:
    Limit.TEXT.check(labels)
    with labels.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.strip()
