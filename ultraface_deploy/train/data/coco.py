"""Reader of COCO annotations: one JSON with `images`, `annotations` and `categories`."""

# Tested by tests/train/data/test_labels.py.

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import reason
from ultraface_deploy.train.data.labelled import LabelledBox, LabelledImage, LeftOut
from ultraface_deploy.train.data.pictures import Pictures

_EXPECTED = "images, annotations and categories are expected"


def read_coco(labels: Path, images: Path, left_out: LeftOut) -> Iterator[LabelledImage]:
    """Yield the images of a COCO instances file.

    `iscrowd` and `ignore` mark faces that are neither to be found nor background. A box carries
    the name of its category, none where no categories are listed.

    Args:
        labels: the JSON file.
        images: the folder that the file names are relative to.
        left_out: told of every annotation that is no box or belongs to no image.

    Raises:
        InputError: the file is not in this format.
    """
    require_file(labels, "COCO annotation file", Limit.TEXT)
    try:
        data = json.loads(read_text(labels))
        names = _names(data["images"])
        boxes = _boxes(data, names, labels.name, left_out)
    except PARSE_ERRORS as error:
        said = damaged(labels, "COCO annotation file", reason(error), _EXPECTED)
        raise InputError(f"{labels}: {said}") from error
    pictures = Pictures(images)
    for identifier, name in names.items():
        yield LabelledImage(pictures.find(name), boxes[identifier])


def _names(images: list[Any]) -> dict[Any, str]:
    names = {}
    for index, image in enumerate(images):
        try:
            names[image["id"]] = str(image["file_name"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"image {index}: {reason(error)}") from error
    return names


def _boxes(
    data: dict[str, Any], names: dict[Any, str], source: str, left_out: LeftOut
) -> defaultdict[Any, list[LabelledBox]]:
    categories = {each["id"]: str(each["name"]) for each in data.get("categories", [])}
    boxes: defaultdict[Any, list[LabelledBox]] = defaultdict(list)
    for index, annotation in enumerate(data["annotations"]):
        place = f"{source}: annotation {index}"
        if not isinstance(annotation, dict):
            left_out.add("an annotation that is no object of JSON", place)
            continue
        if "id" in annotation:
            place += f" (id {annotation['id']})"
        if annotation.get("image_id") not in names:
            left_out.add("an annotation of an image that is not listed", place)
            continue
        if (box := _box(annotation)) is None:
            left_out.add("an annotation without four numbers as its box or polygons", place)
            continue
        x, y, width, height = box
        name = _name_of(annotation.get("category_id"), categories)
        ignored = bool(annotation.get("iscrowd") or annotation.get("ignore"))
        corners = (x, y, x + width, y + height)
        boxes[annotation["image_id"]].append(LabelledBox(place, corners, name, ignored))
    return boxes


def _box(annotation: dict[str, Any]) -> tuple[float, ...] | None:
    """Return x, y, width and height; without `bbox`, those of what encloses the polygons.

    None where there are neither. The box around all polygons is what COCO's own programs give for
    them (`toBbox` of pycocotools).
    """
    try:
        if (box := annotation.get("bbox")) is not None:
            x, y, width, height = map(float, box)
            return x, y, width, height
        numbers = [list(map(float, polygon)) for polygon in annotation["segmentation"]]
        across = [x for polygon in numbers for x in polygon[0::2]]
        down = [y for polygon in numbers for y in polygon[1::2]]
        return min(across), min(down), max(across) - min(across), max(down) - min(down)
    except (TypeError, ValueError, KeyError):
        return None


def _name_of(identifier: Any, categories: dict[Any, str]) -> str | None:
    if not categories:
        return None
    if identifier is None and len(categories) == 1:
        return next(iter(categories.values()))
    return categories.get(identifier, f"category {identifier}")
