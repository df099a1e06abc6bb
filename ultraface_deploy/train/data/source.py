"""Finds out which layout a data set has and reads it."""

# Tested by tests/train/data/test_labels.py.

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ultraface_deploy.errors import InputError, NoSuchSplit
from ultraface_deploy.train.data.classes import Classes
from ultraface_deploy.train.data.labelled import LabelledImage, LeftOut, to_samples
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.voc import read_voc
from ultraface_deploy.train.data.wider import read_retinaface, read_wider
from ultraface_deploy.train.data.yolo import read_yolo, yolo_folders

Report = Callable[[str], None]


def read_dataset(
    root: Path,
    split: str = "train",
    report: Report = lambda message: None,
    classes: Classes | None = None,
) -> list[Sample]:
    """Read one split of a data set in the VOC, WIDER FACE, RetinaFace or YOLO layout.

    Args:
        root: the folder with `ImageSets/`, with `wider_face_split/` and `WIDER_<split>/`, with
            `retinaface_labels/<split>/label.txt` or `<split>/label.txt`, or with
            `images/<split>/` and `labels/<split>/` (or `<split>/images/`, `<split>/labels/`).
        split: `train`, `val`, `test` or, in the VOC layout, `trainval`.
        report: told in a line each what is left out, and which classes are used.
        classes: which classes are faces; None for `face`, or the only one there is.

    Raises:
        NoSuchSplit: the folder has none of these layouts, or not this split.
        InputError: a label file is not in its format, or no face is left.
    """
    left_out = LeftOut()
    images = list(_open(root, split, left_out))
    if not images:
        for line in left_out.lines():
            report(line)
        raise NoSuchSplit(f"{root}: the {split} split has no images")
    try:
        samples, remarks = to_samples(images, classes or Classes(), left_out)
    except InputError as error:
        reasons = "; ".join([str(error), *left_out.lines()])
        raise InputError(f"{root}, {split}: {reasons}") from error
    for line in (*remarks, *left_out.lines()):
        report(line)
    return samples


def _open(root: Path, split: str, left_out: LeftOut) -> Iterator[LabelledImage]:
    if (root / "ImageSets" / "Main" / f"{split}.txt").is_file():
        return read_voc(root, split, left_out)
    images = root / f"WIDER_{split}" / "images"
    wider = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    if wider.is_file():
        return read_wider(wider, images, left_out)
    for labels in (root / split / "label.txt", root / "retinaface_labels" / split / "label.txt"):
        if labels.is_file():
            beside = labels.parent / "images"
            return read_retinaface(labels, beside if beside.is_dir() else images, left_out)
    if (folders := yolo_folders(root, split)) is not None:
        return read_yolo(*folders, left_out)
    raise NoSuchSplit(f"{root}: found no {split} split; expected {_layouts(split)}")


def _layouts(split: str) -> str:
    """Where the labels of a split are looked for."""
    return (
        f"ImageSets/Main/{split}.txt (VOC), wider_face_split/wider_face_{split}_bbx_gt.txt "
        f"(WIDER FACE), {split}/label.txt (RetinaFace) or images/{split}/ with labels/{split}/ "
        "(YOLO)"
    )


def read_splits(
    root: Path, report: Report = lambda message: None, classes: Classes | None = None
) -> dict[str, list[Sample]]:
    """Read those of `train`, `val` and `test` that a data set has.

    Raises:
        NoSuchSplit: it has none.
        InputError: as `read_dataset`.
    """
    splits: dict[str, list[Sample]] = {}
    for split in ("train", "val", "test"):
        try:
            splits[split] = read_dataset(root, split, report, classes)
        except NoSuchSplit:
            continue
    if not splits:
        raise NoSuchSplit(
            f"{root}: found neither a train nor a val nor a test split of any known layout, such "
            f"as {_layouts('train')}"
        )
    return splits
