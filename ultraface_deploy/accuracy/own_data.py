"""The labels of a user's own pictures, in VOC, COCO, WIDER FACE, RetinaFace or YOLO form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import read_text, require_file
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.refusals import missing
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.classes import Classes
from ultraface_deploy.train.data.coco import read_coco
from ultraface_deploy.train.data.labelled import LabelledImage, LeftOut, to_samples
from ultraface_deploy.train.data.voc import read_annotations
from ultraface_deploy.train.data.wider import read_retinaface, read_wider
from ultraface_deploy.train.data.yolo import read_yolo
from ultraface_deploy.wider import TruthImage


def read_truth(
    pictures: Path,
    labels: Path,
    report: Callable[[str], None] = lambda message: None,
    classes: Classes | None = None,
) -> tuple[dict[str, Path], list[TruthImage]]:
    """Read labels.

    Args:
        pictures: the folder that the file names in the labels are relative to.
        labels: a `.json` in COCO form, a `.txt` in WIDER FACE or RetinaFace form, or a folder of
            VOC `.xml` or YOLO `.txt` files.
        report: told in a line each what is left out, and which classes are used.
        classes: which classes are faces; None for `face`, or the only one there is.

    Returns:
        Paths by name, and the faces; ignored ones are not kept.

    Raises:
        InputError: there are no labels, or in none of these forms, or no face is left, or they
            name an image twice.
    """
    if not pictures.is_dir():
        raise InputError(f"{pictures}: {missing(pictures, 'folder of pictures', 'folder')}")
    left_out = LeftOut()
    found = list(_read(pictures, labels, left_out))
    if not found:
        raise InputError("; ".join([f"{labels}: names no pictures", *left_out.lines()]))
    try:
        samples, remarks = to_samples(found, classes or Classes(), left_out)
    except InputError as error:
        raise InputError("; ".join([f"{labels}: {error}", *left_out.lines()])) from error
    for line in (*remarks, *left_out.lines()):
        report(line)
    images = {_name(sample, pictures): sample.image for sample in samples}
    if len(images) < len(samples):
        names = [_name(sample, pictures) for sample in samples]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{labels}: names {twice} twice; remove one of the two")
    return images, [
        TruthImage(
            _name(sample, pictures),
            sample.boxes.astype(np.float64),
            ~sample.ignored[None],
            sample.labels,
        )
        for sample in samples
    ]


def _read(pictures: Path, labels: Path, left_out: LeftOut) -> Iterable[LabelledImage]:
    if labels.is_dir():
        if annotations := sorted(labels.glob("*.xml")):
            return read_annotations(annotations, pictures, left_out)
        if next(labels.glob("*.txt"), None):
            return read_yolo(pictures, labels, left_out)
        raise InputError(
            f"{labels}: holds neither .xml (VOC) nor .txt files (YOLO); give a folder of them"
        )
    require_file(labels, "label file")
    suffix = labels.suffix.lower()
    if suffix == ".json":
        return read_coco(labels, pictures, left_out)
    if suffix == ".txt":
        commented = read_text(labels, Limit.TEXT).lstrip().startswith("#")
        return (read_retinaface if commented else read_wider)(labels, pictures, left_out)
    raise InputError(
        f"{labels}: give a .json (COCO), a .txt (WIDER FACE, RetinaFace) or a folder of "
        ".xml (VOC) or .txt files (YOLO)"
    )


def _name(sample: Sample, pictures: Path) -> str:
    return sample.image.relative_to(pictures).as_posix()
