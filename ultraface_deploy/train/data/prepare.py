"""Any data set to the VOC layout."""

# Tested by tests/train/data/test_readers.py.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import make_folder, read_text, write_bytes, write_text
from ultraface_deploy.train.data.cache import read_image
from ultraface_deploy.train.data.samples import Sample
from ultraface_deploy.train.data.voc import write_annotation

# Of folder and name: every picture that is written is called so.
_JOINT = "__"
_LISTS = "ImageSets/Main"

Report = Callable[[str], None]
# Edges of the histogram: geometric mean of a face's sides in pixels.
SIZE_EDGES = (0, 10, 16, 32, 64, 128, 256, 100_000)


@dataclass(frozen=True)
class Summary:
    """What was written: images and faces by split, faces by size, and what was left out."""

    images: dict[str, int]
    faces: dict[str, int]
    histogram: dict[str, int]
    dropped_faces: int
    empty_images: int
    damaged_images: int


def prepare(
    splits: dict[str, list[Sample]],
    output: Path,
    min_face: float = 10.0,
    report: Report = lambda message: None,
    on_image: Callable[[], object] = lambda: None,
    class_names: Mapping[int, str] | None = None,
) -> Summary:
    """Write samples as a VOC data set; what is there already and unchanged stays as it is.

    Args:
        splits: the samples of `train`, `val` and `test`, as far as they exist; without `test`
            the list of `val` serves, as the published training has it.
        output: folder to write.
        min_face: faces with a side below this many pixels are dropped.
        report: told of every image that is left out, one line each.
        on_image: called after every image.
        class_names: what the labels are called; without them every object is a `face`.

    Raises:
        InputError: the folder cannot be written, or holds a data set that was not made here.
    """
    _refuse_replacing(output)
    for part in ("Annotations", "JPEGImages", _LISTS):
        make_folder(output / part)
    names: dict[str, list[str]] = {}
    sizes: dict[str, list[float]] = {}
    tally = _Tally()
    for split, samples in splits.items():
        names[split], sizes[split] = [], []
        for sample in samples:
            kept = _large_faces(sample, min_face, tally)
            name = f"{sample.image.parent.name}{_JOINT}{sample.image.stem}"
            if _write(output, name, kept, report, tally, class_names):
                names[split].append(name)
                sides = kept.boxes[:, 2:] - kept.boxes[:, :2]
                sizes[split] += np.sqrt(sides.prod(axis=1)).tolist()
            on_image()
    lists: dict[str, list[str]] = {"train": [], "val": []} | names
    lists = {"test": lists["val"], "trainval": lists["train"] + lists["val"]} | lists
    for split, listed in lists.items():
        write_text(output / _LISTS / f"{split}.txt", "".join(f"{n}\n" for n in listed))
    return Summary(
        {split: len(listed) for split, listed in names.items()},
        {split: len(values) for split, values in sizes.items()},
        _histogram(value for values in sizes.values() for value in values),
        tally.dropped,
        tally.empty,
        tally.damaged,
    )


def _refuse_replacing(output: Path) -> None:
    """Refuse a folder with lists of pictures that this function has not named."""
    for split in ("train", "val", "test", "trainval"):
        path = output / _LISTS / f"{split}.txt"
        if path.is_file() and any(_JOINT not in name for name in read_text(path).split()):
            raise InputError(
                f"{path}: would be replaced, and belongs to another data set; "
                "choose another folder with `output`"
            )


@dataclass
class _Tally:
    dropped: int = 0
    empty: int = 0
    damaged: int = 0


def _large_faces(sample: Sample, min_face: float, tally: _Tally) -> Sample:
    large = (sample.boxes[:, 2:] - sample.boxes[:, :2]).min(axis=1, initial=np.inf) >= min_face
    tally.dropped += int((~large).sum())
    return replace(
        sample,
        boxes=sample.boxes[large],
        ignored=sample.ignored[large],
        labels=sample.labels[large],
        landmarks=sample.landmarks[large] if len(sample.landmarks) else sample.landmarks,
    )


def _write(
    output: Path,
    name: str,
    sample: Sample,
    report: Report,
    tally: _Tally,
    class_names: Mapping[int, str] | None,
) -> bool:
    """Write image and annotation; say no where there is nothing to learn from."""
    if not len(sample):
        tally.empty += 1
        report(f"{sample.image}: no face is left")
        return False
    try:
        image, _ = read_image(sample.image, max_side=2**15)
    except InputError as error:
        tally.damaged += 1
        report(str(error))
        return False
    target = output / "JPEGImages" / f"{name}{sample.image.suffix}"
    content = sample.image.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        write_bytes(target, content)
    size = (image.shape[1], image.shape[0])
    write_annotation(output / "Annotations" / f"{name}.xml", sample, size, class_names)
    return True


def _histogram(sizes: Iterable[float]) -> dict[str, int]:
    counts, _ = np.histogram(np.fromiter(sizes, float), SIZE_EDGES)
    names = [f"{low}-{high}" for low, high in pairwise(SIZE_EDGES[:-1])]
    return dict(zip([*names, f"{SIZE_EDGES[-2]}+"], counts.tolist(), strict=True))
