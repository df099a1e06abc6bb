"""The labels of a user's own pictures, in VOC, COCO, WIDER FACE or RetinaFace form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.coco import read_coco
from ultraface_deploy.train.data.voc import read_annotations
from ultraface_deploy.train.data.wider import read_retinaface, read_wider
from ultraface_deploy.wider import TruthImage


def read_truth(
    pictures: Path, labels: Path, skip: Callable[[str], None] = lambda message: None
) -> tuple[dict[str, Path], list[TruthImage]]:
    """Read labels.

    Args:
        pictures: the folder that the file names in the labels are relative to.
        labels: a `.json` in COCO form, a `.txt` in WIDER FACE or RetinaFace form, or a folder of
            VOC `.xml` files.
        skip: told of every row that is left out.

    Returns:
        Paths by name, and the faces; ignored ones are not kept.

    Raises:
        InputError: there are no labels, or in none of these forms, or they name an image twice.
    """
    if not pictures.is_dir():
        raise InputError(f"{pictures}: no such folder of pictures")
    samples = list(_read(pictures, labels, skip))
    images = {_name(sample, pictures): sample.image for sample in samples}
    if not samples:
        raise InputError(f"{labels}: names no pictures")
    if len(images) < len(samples):
        raise InputError(f"{labels}: names a picture twice")
    return images, [
        TruthImage(_name(sample, pictures), sample.boxes.astype(np.float64), ~sample.ignored[None])
        for sample in samples
    ]


def _read(pictures: Path, labels: Path, skip: Callable[[str], None]) -> Iterable[Sample]:
    if labels.is_dir():
        return read_annotations(sorted(labels.glob("*.xml")), pictures, skip)
    require_file(labels, "label file")
    if labels.suffix == ".json":
        return read_coco(labels, pictures, skip)
    if labels.suffix == ".txt":
        with labels.open(encoding="utf-8", errors="replace") as file:
            commented = file.read(1) == "#"
        return (read_retinaface if commented else read_wider)(labels, pictures, skip)
    raise InputError(
        f"{labels}: labels are a .json (COCO), a .txt (WIDER FACE, RetinaFace) or a folder of "
        ".xml files (VOC)"
    )


def _name(sample: Sample, pictures: Path) -> str:
    return sample.image.relative_to(pictures).as_posix()
