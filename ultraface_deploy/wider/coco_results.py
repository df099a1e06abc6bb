"""Predictions in COCO's results format: a JSON list of boxes with scores, of all images."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import reason
from ultraface_deploy.wider.matching import Detections

_EXPECTED = "objects with image_id, bbox and score are expected"


def read_coco_results(path: Path, names: Iterable[str]) -> dict[str, Detections]:
    """Read `[{"image_id": ..., "bbox": [x, y, width, height], "score": ...}, ...]`.

    `image_id` is `event/file`, with or without the suffix, or the file alone. A number is looked up
    in `images` (`id` and `file_name`), where the file is an object with `images` and `annotations`.
    COCO's list names no image without boxes; images that it does not name therefore have none.

    Args:
        path: the JSON file.
        names: the images `event/file` that are asked for.

    Returns:
        Boxes (N, 4) as corners and scores (N,), float64, by name.

    Raises:
        InputError: the file is not in this form, or none of its boxes belongs to these images.
    """
    require_file(path, "predictions file", Limit.TEXT)
    try:
        data = json.loads(read_text(path))
        listed = isinstance(data, dict)
        files = {each["id"]: each["file_name"] for each in data["images"]} if listed else {}
        rows: dict[str, list[list[float]]] = {}
        for entry in data["annotations"] if listed else data:
            x, y, width, height = map(float, entry["bbox"])
            box = [x, y, x + width, y + height, float(entry["score"])]
            rows.setdefault(_key(files.get(entry["image_id"], entry["image_id"])), []).append(box)
    except PARSE_ERRORS as error:
        said = damaged(path, "list of predictions in COCO's form", reason(error), _EXPECTED)
        raise InputError(f"{path}: {said}") from error
    found = {name: rows.get(name) or rows.get(name.rpartition("/")[2]) for name in names}
    if rows and not any(found.values()):
        raise InputError(
            f"{path}: no box belongs to an image of the ground truth; image_id must be "
            '`event/file`, or a number that its "images" list explains'
        )
    arrays = {name: np.array(each or [], np.float64).reshape(-1, 5) for name, each in found.items()}
    return {name: (values[:, :4], values[:, 4]) for name, values in arrays.items()}


def _key(image: Any) -> str:
    """Return a file name without its suffix; numbers as they are written."""
    return re.sub(r"\.(jpe?g|png)$", "", str(image), flags=re.IGNORECASE)
