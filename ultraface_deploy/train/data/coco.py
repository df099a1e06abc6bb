"""Reader of COCO annotations: one JSON with `images`, `annotations` and `categories`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS, inside, require_file
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.wider import FAR, Skip

_Box = tuple[list[float], bool]  # x y w h, ignored


def read_coco(labels: Path, images: Path, skip: Skip) -> Iterator[Sample]:
    """Yield the samples of a COCO instances file.

    All annotations are faces, or those of the category `face` where the file has several.
    `iscrowd` and `ignore` mark faces that are neither to be found nor background.

    Args:
        labels: the JSON file.
        images: the folder that the file names are relative to.
        skip: told of every annotation that is not a box or belongs to no image; it is left out.

    Raises:
        InputError: the file is not in this format.
    """
    require_file(labels, "COCO annotation file", Limit.TEXT)
    try:
        data = json.loads(labels.read_text(encoding="utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in data["images"]}
        boxes = _boxes(data, names, labels.name, skip)
    except PARSE_ERRORS as error:
        raise InputError(
            f"{labels}: not in COCO form, images, annotations and categories are expected "
            f"({type(error).__name__}: {error})"
        ) from error
    for identifier, name in names.items():
        faces = boxes[identifier]
        corners = np.array([box for box, _ in faces], np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        yield Sample(
            inside(images, name),
            corners,
            np.array([ignored for _, ignored in faces], bool),
            np.full((len(faces), 5, 2), np.nan, np.float32),
        )


def _boxes(
    data: dict[str, Any], names: dict[Any, str], source: str, skip: Skip
) -> defaultdict[Any, list[_Box]]:
    wanted = _face_categories(data)
    boxes: defaultdict[Any, list[_Box]] = defaultdict(list)
    for index, annotation in enumerate(data["annotations"]):
        if wanted is not None and annotation.get("category_id") not in wanted:
            continue
        box = [float(value) for value in annotation["bbox"]]
        if annotation["image_id"] not in names:
            skip(f"{source}: annotation {index} is of an image that is not listed; skipped")
        elif len(box) != 4 or not np.abs(box).max() < FAR or min(box[2:]) <= 0:
            skip(
                f"{source}: annotation {index} has no box with an area (x y width height); skipped"
            )
        else:
            ignored = bool(annotation.get("iscrowd") or annotation.get("ignore"))
            boxes[annotation["image_id"]].append((box, ignored))
    return boxes


def _face_categories(data: dict[str, Any]) -> set[Any] | None:
    """The ids of the category `face`; None where no category or a single one is listed."""
    categories = data.get("categories", [])
    if len(categories) < 2:
        return None
    found = {each["id"] for each in categories if str(each["name"]).lower() == "face"}
    if not found:
        raise ValueError("no category of several is named face")
    return found
