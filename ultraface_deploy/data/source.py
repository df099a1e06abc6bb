"""Finds out which layout a data set has and reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ultraface_deploy.data.samples import Sample
from ultraface_deploy.data.wider import Skip, read_retinaface, read_wider
from ultraface_deploy.errors import InputError


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
        InputError: the folder has none of these layouts, or not this split.
    """
    samples = list(_open(root, split, skip))
    if not samples:
        raise InputError(f"{root}: the {split} split has no images")
    return samples


def _open(root: Path, split: str, skip: Skip) -> Iterator[Sample]:
    images = root / f"WIDER_{split}" / "images"
    wider = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    if wider.is_file():
        return read_wider(wider, images, skip)
    for labels in (root / split / "label.txt", root / "retinaface_labels" / split / "label.txt"):
        if labels.is_file():
            beside = labels.parent / "images"
            return read_retinaface(labels, beside if beside.is_dir() else images, skip)
    raise InputError(
        f"{root}: found no {split} split; expected ImageSets/Main/{split}.txt (VOC), "
        f"wider_face_split/{wider.name} (WIDER FACE) or {split}/label.txt (RetinaFace)"
    )
