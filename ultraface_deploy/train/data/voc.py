"""The PASCAL VOC layout: `Annotations/*.xml`, `JPEGImages/`, `ImageSets/Main/<split>.txt`.

Boxes are written as VOC has them: inclusive pixel indices that count from 1. Landmarks follow
the convention of face data sets in this layout, `<has_lm>` and `<lm><x1>..<y5>`.
"""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.files import PARSE_ERRORS, inside, read_text, write_bytes
from ultraface_deploy.safe.limits import Limit, require_short
from ultraface_deploy.train.data.labelled import (
    NO_LANDMARKS,
    LabelledBox,
    LabelledImage,
    LeftOut,
)
from ultraface_deploy.train.data.pictures import Pictures
from ultraface_deploy.train.data.samples import Sample

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_POINTS = [f"{axis}{number}" for number in range(1, 6) for axis in "xy"]
_DAMAGED = "a damaged or missing annotation"
# Five thousand faces with landmarks take three; a tree of elements takes a hundred times its text.
_MOST_BYTES = 4 << 20


def read_voc(root: Path, split: str, left_out: LeftOut) -> Iterator[LabelledImage]:
    """Yield the images of a split; objects marked difficult are ignored faces.

    Args:
        root: the folder with `ImageSets/`.
        split: `train`, `val`, `test` or `trainval`.
        left_out: told of every damaged annotation; its image is left out.

    Raises:
        OSError: there is no list of this split.
        InputError: it is too large, or a name in it leads out of the folder.
        MissingDependency: defusedxml is not installed.
    """
    listing = root / "ImageSets" / "Main" / f"{split}.txt"
    lines = read_text(listing, Limit.TEXT).splitlines()
    annotations = [_annotation(root / "Annotations", line.strip()) for line in lines]
    found = [path for path in annotations if path is not None]
    return read_annotations(found, root / "JPEGImages", left_out)


def _annotation(folder: Path, line: str) -> Path | None:
    """The annotation that a line of a list means: `name`, `a name`, `name 1` or `name.jpg`."""
    if not line:
        return None
    path = inside(folder, f"{line}.xml")
    if not path.is_file():
        plainer = re.sub(r"\s+-?[01]$", "", line)
        for name in (plainer, re.sub(r"\.\w{1,5}$", "", Path(plainer).name)):
            if (other := inside(folder, f"{name}.xml")).is_file():
                return other
    return path


def read_annotations(
    paths: Iterable[Path], images: Path, left_out: LeftOut
) -> Iterator[LabelledImage]:
    """Yield the image of each annotation file; `images` is the folder of the photographs.

    The picture is the one that `<filename>` names or, where that is stale, the one that is named
    like the annotation, whatever its suffix.

    Raises:
        MissingDependency: defusedxml is not installed.
    """
    try:
        from defusedxml.ElementTree import parse
    except ImportError as error:
        raise MissingDependency.package("defusedxml", "train", "reading VOC files") from error
    damaged = (OSError, ElementTree.ParseError, *PARSE_ERRORS, InputError)
    pictures = Pictures(images)
    for path in paths:
        try:
            require_short(path, _MOST_BYTES)
            yield _image(pictures, path, parse(path).getroot())
        except damaged as error:
            left_out.add(_DAMAGED, f"{path}: {error}")


def write_annotation(
    path: Path, sample: Sample, size: tuple[int, int], names: Mapping[int, str] | None = None
) -> None:
    """Write the annotation of a sample whose image has `size` (width, height).

    `names` are those of the labels; without them every object is a `face`.
    """
    tree = ElementTree.Element("annotation")
    _add(tree, "folder", "JPEGImages")
    _add(tree, "filename", f"{path.stem}{sample.image.suffix}")
    dimensions = _add(tree, "size")
    for key, value in zip(("width", "height", "depth"), (*size, 3), strict=True):
        _add(dimensions, key, f"{value}")
    _add(tree, "segmented", "0")
    for number, (x1, y1, x2, y2) in enumerate(sample.boxes):
        face = _add(tree, "object")
        _add(face, "name", (names or {}).get(int(sample.labels[number]), "face"))
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


def _image(pictures: Pictures, path: Path, tree: ElementTree.Element) -> LabelledImage:
    boxes = []
    for number, face in enumerate(tree.iterfind("object"), 1):
        # Inclusive, but for boxes whose corners coincide: such a one is no pixel but a mistake.
        x1, y1, x2, y2 = (_number(face, f"bndbox/{key}") for key in _CORNERS)
        corners = (x1 - 1, y1 - 1, x2, y2) if x2 > x1 and y2 > y1 else (x1, y1, x2, y2)
        points: tuple[float, ...] = NO_LANDMARKS
        if face.find("lm") is not None:
            points = tuple(_number(face, f"lm/{key}") for key in _POINTS)
        name = " ".join((face.findtext("name") or "").split())
        ignored = (face.findtext("difficult") or "").strip() == "1"
        boxes.append(LabelledBox(f"{path.name} object {number}", corners, name, ignored, points))
    return LabelledImage(_picture(pictures, path.stem, tree.findtext("filename")), boxes)


def _picture(pictures: Pictures, stem: str, stated: str | None) -> Path:
    stated = (stated or "").strip()
    try:
        if stated and (named := pictures.find(stated)).is_file():
            return named
    except InputError:
        # It leads out of the folder, as a path of another machine does.
        stated = ""
    return pictures.with_stem(stem) or inside(pictures.folder, stated or f"{stem}.jpg")


def _number(face: ElementTree.Element, path: str) -> float:
    text = face.findtext(path)
    return float("nan" if text is None else text)
