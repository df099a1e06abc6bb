"""Predictions in COCO's results format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.wider.coco_results import read_coco_results

NAMES = ["0--Parade/a_1", "0--Parade/b_2"]


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    return path


def box(image: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.5}


@pytest.mark.parametrize("image", ["0--Parade/a_1", "0--Parade/a_1.jpg", "a_1", "a_1.jpg"])
def test_images_are_known_by_their_names(tmp_path: Path, image: str) -> None:
    found = read_coco_results(written(tmp_path, [box(image), box(image)]), NAMES)
    boxes, scores = found[NAMES[0]]
    np.testing.assert_array_equal(boxes, [[10, 20, 40, 60]] * 2)
    np.testing.assert_array_equal(scores, [0.5, 0.5])
    assert found[NAMES[1]][0].shape == (0, 4)


def test_numbers_are_looked_up_in_the_list_of_images(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "0--Parade/b_2.jpg"}]
    path = written(tmp_path, {"images": images, "annotations": [box(7)]})
    assert len(read_coco_results(path, NAMES)[NAMES[1]][1]) == 1
    with pytest.raises(InputError, match="no box belongs"):
        read_coco_results(written(tmp_path, [box(7)]), NAMES)


@pytest.mark.parametrize(
    "content", [{}, [1], [{"image_id": "a"}], "text", [box("a") | {"bbox": [1]}]]
)
def test_other_files_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match="not a list of predictions in COCO's form"):
        read_coco_results(written(tmp_path, content), NAMES)


def test_no_predictions_are_none(tmp_path: Path) -> None:
    found = read_coco_results(written(tmp_path, []), NAMES)
    assert [len(scores) for _, scores in found.values()] == [0, 0]
