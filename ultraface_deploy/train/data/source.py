"""Finds out which layout a data set has and reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ultraface_deploy.errors import NoSuchSplit
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.voc import read_voc
from ultraface_deploy.train.data.wider import Skip, read_retinaface, read_wider


def read_dataset(
    root: Path, split: str = "train", skip: Skip = lambda message: None
) -> list[Sample]:
    """Read one split of a data set in the VOC, WIDER FACE or RetinaFace layout.

    Args:
        root: the folder with `ImageSets/`, with `wider_face_split/` and `WIDER_<split>/`, or
            with `retinaface_labels/<split>/label.txt` or `<split>/label.txt`.
        split: `train`, `val`, `test` or, in the VOC layout, `trainval`.
        skip: told of every row that is left out.

    Raises:
        NoSuchSplit: the folder has none of these layouts, or not this split.
        InputError: a label file is not in its format.
    """
    samples = list(_open(root, split, skip))
    if not samples:
        raise NoSuchSplit(f"{root}: the {split} split has no images")
    return samples


def _open(root: Path, split: str, skip: Skip) -> Iterator[Sample]:
    if (root / "ImageSets" / "Main" / f"{split}.txt").is_file():
        return read_voc(root, split, skip)
    images = root / f"WIDER_{split}" / "images"
    wider = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    if wider.is_file():
        return read_wider(wider, images, skip)
    for labels in (root / split / "label.txt", root / "retinaface_labels" / split / "label.txt"):
        if labels.is_file():
            beside = labels.parent / "images"
            return read_retinaface(labels, beside if beside.is_dir() else images, skip)
    raise NoSuchSplit(
        f"{root}: found no {split} split; expected ImageSets/Main/{split}.txt (VOC), "
        f"wider_face_split/{wider.name} (WIDER FACE) or {split}/label.txt (RetinaFace)"
    )


def read_splits(root: Path, skip: Skip = lambda message: None) -> dict[str, list[Sample]]:
    """Read those of `train`, `val` and `test` that a data set has.

    Raises:
        NoSuchSplit: it has none.
    """
    splits: dict[str, list[Sample]] = {}
    for split in ("train", "val", "test"):
        try:
            splits[split] = read_dataset(root, split, skip)
        except NoSuchSplit as error:
            missing = error
    if not splits:
        raise missing
    return splits
