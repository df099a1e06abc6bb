"""A user's own labels: the forms they come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ultraface_deploy.accuracy.own_data import read_truth
from ultraface_deploy.errors import InputError

VOC = """<annotation><filename>a.jpg</filename>
<object><name>face</name><difficult>0</difficult>
<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>
<object><name>face</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>"""
COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "sub/b.jpg"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 5, 6], "iscrowd": 1},
        {"image_id": 7, "category_id": 4, "bbox": [0, 0, 500, 600]},
    ],
    "categories": [{"id": 3, "name": "Face"}, {"id": 4, "name": "person"}],
}
FORMS = {
    "labels.txt": "a.jpg\n2\n10 20 30 40 0 0 0 0 0 0\n0 0 5 6 0 0 0 1 0 0\n",
    "labels.json": json.dumps(COCO),
    "voc/a.xml": VOC,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(FORMS[name])
    images, truth = read_truth(tmp_path, path.parent if name.startswith("voc") else path)
    assert images["a.jpg"] == tmp_path / "a.jpg"
    assert truth[0].name == "a.jpg"
    np.testing.assert_allclose(truth[0].boxes, [[10, 20, 40, 60], [0, 0, 5, 6]])
    assert truth[0].kept.tolist() == [[True, False]]


def test_coco_lists_images_without_faces(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(COCO))
    _, truth = read_truth(tmp_path, tmp_path / "labels.json")
    assert [image.name for image in truth] == ["a.jpg", "sub/b.jpg"]
    assert truth[1].boxes.shape == (0, 4)


def test_coco_names_what_it_leaves_out(tmp_path: Path) -> None:
    rows = [
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, -5, 6]},
        {"image_id": 9, "category_id": 3, "bbox": [0, 0, 5, 6]},
    ]
    (tmp_path / "labels.json").write_text(json.dumps({**COCO, "annotations": rows}))
    with pytest.raises(InputError, match=r"no face.*annotation 1.*annotation 0") as caught:
        read_truth(tmp_path, tmp_path / "labels.json")
    assert "not listed" in str(caught.value)


def test_coco_boxes_that_are_missing(tmp_path: Path) -> None:
    """A polygon has the box around it, as in COCO's own programs; what has neither is left out."""
    triangle = [5, 6, 25, 8, 10, 40.5]
    rows: list[Any] = [
        {"image_id": 7, "category_id": 3, "segmentation": [triangle, [30, 6, 31, 6, 31, 7]]},
        {"image_id": 7, "category_id": 3, "segmentation": [triangle], "bbox": None},
        {"image_id": 7, "category_id": 3, "segmentation": [triangle], "bbox": [1, 2, 3, 4]},
        {"image_id": 7, "category_id": 3, "bbox": None, "id": 31},
        {"image_id": 7, "category_id": 3, "segmentation": {"counts": "x", "size": [1, 1]}},
        {"category_id": 3, "bbox": [1, 2, 3, 4]},
        None,
    ]
    (tmp_path / "labels.json").write_text(json.dumps({**COCO, "annotations": rows}))
    told: list[str] = []
    _, truth = read_truth(tmp_path, tmp_path / "labels.json", told.append)
    assert truth[0].boxes.tolist() == [[5, 6, 31, 40.5], [5, 6, 25, 40.5], [1, 2, 4, 6]]
    assert "numbers as its box or polygons: 2 (labels.json: annotation 3 (id 31), " in told[0]
    assert "annotation 5)" in told[1] and "annotation 6)" in told[2]


def test_a_coco_image_without_a_name_is_named(tmp_path: Path) -> None:
    images = [*COCO["images"], {"id": 99}]
    (tmp_path / "labels.json").write_text(json.dumps({**COCO, "images": images}))
    place = f"image {len(images) - 1}: 'file_name' is missing"
    with pytest.raises(InputError, match=place):
        read_truth(tmp_path, tmp_path / "labels.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.json", "no json"),
        ("labels.json", "[]"),
        ("labels.json", '{"images": [], "annotations": [], "categories": []}'),
        ("labels.json", json.dumps({**COCO, "categories": [{"id": 1, "name": "car"}] * 2})),
        ("labels.txt", "just some text\n"),
        ("labels.csv", "a,b\n"),
        ("labels.txt", ""),
    ],
)
def test_what_are_no_labels_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="labels"):
        read_truth(tmp_path, tmp_path / name)
