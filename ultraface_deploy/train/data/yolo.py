"""Reader of YOLO labels: beside each picture's stem a text file, a row an object.

A row is `class cx cy width height`, in shares of the picture's sides; after them may come five
landmarks (`x y` or `x y visibility`, as face data sets have them). A row of class and polygon
counts as the box around it. Names of the classes come from `data.yaml`, `classes.txt` or
`obj.names`; without them a class is named by its number.
"""

# Tested by tests/train/data/test_labels.py.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.safe.files import read_text
from ultraface_deploy.safe.images import list_images, picture_size
from ultraface_deploy.safe.limits import Limit, require_short
from ultraface_deploy.train.data.labelled import (
    NO_LANDMARKS,
    LabelledBox,
    LabelledImage,
    LeftOut,
)

# Boxes reach beyond their picture a little, and 2 says that a landmark is seen.
_LARGEST_SHARE = 2.0
_NAME_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
# The names that splits go by: Roboflow says `valid`.
_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def yolo_folders(root: Path, split: str) -> tuple[Path, Path] | None:
    """Return the folders of a split's pictures and labels; None where the layout is another."""
    for name in _SPLITS.get(split, ()):
        for pictures, labels in (
            (root / "images" / name, root / "labels" / name),
            (root / name / "images", root / name / "labels"),
        ):
            if pictures.is_dir() and labels.is_dir() and next(labels.glob("*.txt"), None):
                return pictures, labels
    return None


def read_yolo(pictures: Path, labels: Path, left_out: LeftOut) -> Iterator[LabelledImage]:
    """Yield the pictures of a folder with what their label files say; without one: no faces.

    Args:
        pictures: folder of the pictures.
        labels: folder of the `.txt` files.
        left_out: told of every row that is no object, and of every label without a picture.

    Raises:
        InputError: there are no pictures, or a list of names is damaged.
    """
    names = _class_names(labels)
    files = {path.stem: path for path in labels.glob("*.txt") if path.name not in _NAME_LISTS}
    for picture in list_images(pictures):
        file = files.pop(picture.stem, None)
        boxes, size = [], None
        if file is not None:
            try:
                size = picture_size(picture)
            except InputError as error:
                left_out.add("a picture whose size cannot be read", str(error))
                continue
            boxes = list(_boxes(file, size, names, left_out))
        yield LabelledImage(picture, boxes, size)
    for file in files.values():
        left_out.add("labels without a picture", str(file))


def _boxes(
    file: Path, size: tuple[int, int], names: Mapping[str, str], left_out: LeftOut
) -> Iterator[LabelledBox]:
    for number, line in enumerate(read_text(file, Limit.TEXT).splitlines(), 1):
        place = f"{file.name}:{number}"
        if not (words := line.split()):
            continue
        try:
            values = [float(word) for word in words[1:]]
        except ValueError:
            values = []
        shape = _shape(values)
        if shape is None or not words[0].isdecimal():
            left_out.add("a row that is not an object (class cx cy width height)", place)
            continue
        if max(map(abs, values)) > _LARGEST_SHARE:
            left_out.add("a row in pixels (YOLO has shares of the picture, 0 to 1)", place)
            continue
        corners, points = shape
        scale = size * 2
        yield LabelledBox(
            place,
            tuple(value * side for value, side in zip(corners, scale, strict=True)),
            names.get(words[0], words[0]),
            False,
            tuple(value * size[index % 2] for index, value in enumerate(points)),
        )


_Shape = tuple[tuple[float, float, float, float], tuple[float, ...]]


def _shape(values: list[float]) -> _Shape | None:
    """Corners and ten landmark coordinates of a row's numbers, in shares of the picture."""
    if len(values) < 4 or not all(abs(value) < float("inf") for value in values):
        return None
    cx, cy, width, height = values[:4]
    box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    rest = values[4:]
    if not rest:
        return box, NO_LANDMARKS
    if len(rest) == 15:
        points = tuple(value for index, value in enumerate(rest) if index % 3 != 2)
        return box, points if all(rest[2::3]) and min(points) >= 0 else NO_LANDMARKS
    if len(rest) == 10 and _within(rest, box):
        return box, tuple(rest)
    if len(values) % 2 == 0 and len(values) >= 6:
        xs, ys = values[0::2], values[1::2]
        return (min(xs), min(ys), max(xs), max(ys)), NO_LANDMARKS
    return None


def _within(points: list[float], box: tuple[float, ...]) -> bool:
    slack = 0.1 * max(box[2] - box[0], box[3] - box[1])
    return all(
        box[index % 2] - slack <= value <= box[index % 2 + 2] + slack
        for index, value in enumerate(points)
    )


def _class_names(labels: Path) -> dict[str, str]:
    """Names by number, from the nearest list at the labels or above them."""
    for folder in (labels, *labels.parents[:2]):
        for name in _NAME_LISTS:
            if (file := folder / name).is_file():
                lines = read_text(file, Limit.TEXT).splitlines()
                return {str(number): line.strip() for number, line in enumerate(lines)}
        for file in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
            if names := _names_in(file):
                return names
    return {}


def _names_in(file: Path) -> dict[str, str]:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency.package("pyyaml", "train", f"reading {file.name}") from error

    class Plain(yaml.SafeLoader):  # type: ignore[misc]  # of unknown type where yaml is missing
        """Without references, by which ten lines become a billion names."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it refers to other places in itself")
            return super().compose_node(parent, index)

    require_short(file)
    try:
        data: Any = yaml.load(read_text(file), Plain)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: is not YAML ({reason}); write names: in it") from error
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    plain = (str, int, float)
    return {
        str(number): str(name)[:100]
        for number, name in names.items()
        if isinstance(number, plain) and isinstance(name, plain)
    }
