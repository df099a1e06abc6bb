"""The PASCAL VOC layout: `Annotations/*.xml`, `JPEGImages/`, `ImageSets/Main/<split>.txt`.

Boxes are written as VOC has them: inclusive pixel indices that count from 1. Landmarks follow
the convention of face data sets in this layout, `<has_lm>` and `<lm><x1>..<y5>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.files import PARSE_ERRORS, inside, write_bytes
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.wider import FAR, Skip

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_POINTS = [f"{axis}{number}" for number in range(1, 6) for axis in "xy"]


def read_voc(root: Path, split: str, skip: Skip) -> Iterator[Sample]:
    """Return the samples of a split; objects marked difficult are ignored faces.

    Args:
        root: the folder with `ImageSets/`.
        split: `train`, `val`, `test` or `trainval`.
        skip: told of every damaged annotation, one line each; its image is left out.

    Raises:
        OSError: there is no list of this split.
        InputError: it is too large, or a name in it leads out of the folder.
        MissingDependency: defusedxml is not installed.
    """
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    Limit.TEXT.check(listing)
    names = listing.read_text(encoding="utf-8", errors="replace").split()
    annotations = (inside(root / "Annotations", f"{name}.xml") for name in names)
    return read_annotations(annotations, root / "JPEGImages", skip)


def read_annotations(paths: Iterable[Path], images: Path, skip: Skip) -> Iterator[Sample]:
    """Yield the sample of each annotation file; `images` is the folder of the photographs.

    Raises:
        MissingDependency: defusedxml is not installed.
    """
    try:
        from defusedxml.ElementTree import parse
    except ImportError as error:
        raise MissingDependency.package("defusedxml", "train", "reading VOC files") from error
    damaged = (OSError, ElementTree.ParseError, *PARSE_ERRORS, InputError)
    for path in paths:
        try:
            Limit.TEXT.check(path)
            yield _sample(images, path.stem, parse(path).getroot())
        except damaged as error:
            skip(f"{path}: damaged or missing annotation ({error}); skipped")


def write_annotation(path: Path, sample: Sample, size: tuple[int, int]) -> None:
    """Write the annotation of a sample whose image has `size` (width, height)."""
    tree = ElementTree.Element("annotation")
    _add(tree, "folder", "JPEGImages")
    _add(tree, "filename", f"{path.stem}{sample.image.suffix}")
    dimensions = _add(tree, "size")
    for key, value in zip(("width", "height", "depth"), (*size, 3), strict=True):
        _add(dimensions, key, f"{value}")
    _add(tree, "segmented", "0")
    for number, (x1, y1, x2, y2) in enumerate(sample.boxes):
        face = _add(tree, "object")
        _add(face, "name", "face")
        _add(face, "pose", "Unspecified")
        _add(face, "truncated", "0")
        _add(face, "difficult", f"{int(sample.ignored[number])}")
        box = _add(face, "bndbox")
        for key, value in zip(_CORNERS, (x1 + 1, y1 + 1, x2, y2), strict=True):
            _add(box, key, f"{value:.9g}")
        _add_landmarks(face, sample, number)
    ElementTree.indent(tree)
    write_bytes(path, ElementTree.tostring(tree, encoding="utf-8") + b"\n")


def _add_landmarks(face: ElementTree.Element, sample: Sample, number: int) -> None:
    if not len(sample.landmarks):
        return
    points = sample.landmarks[number].ravel()
    known = bool(np.isfinite(points).all())
    _add(face, "has_lm", f"{int(known)}")
    if known:
        landmarks = _add(face, "lm")
        for key, value in zip(_POINTS, points, strict=True):
            _add(landmarks, key, f"{value:.9g}")


def _add(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element


def _sample(images: Path, name: str, tree: ElementTree.Element) -> Sample:
    faces = [face for face in tree.iterfind("object") if face.findtext("name") == "face"]
    boxes = [[_number(face, f"bndbox/{key}") for key in _CORNERS] for face in faces]
    points = [
        [_number(face, f"lm/{key}") for key in _POINTS]
        if face.find("lm") is not None
        else [np.nan] * 10
        for face in faces
    ]
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    corners[:, :2] -= 1
    return Sample(
        inside(images, tree.findtext("filename") or f"{name}.jpg"),
        corners,
        np.array([face.findtext("difficult") == "1" for face in faces], bool),
        np.array(points, np.float32).reshape(-1, 5, 2),
    )


def _number(face: ElementTree.Element, path: str) -> float:
    text = face.findtext(path)
    value = float("nan" if text is None else text)
    if not abs(value) < FAR:
        raise ValueError(f"a face without a number in {path}")
    return value
