"""AP of each class, for networks that tell several apart.

The official text format has no place for a class: what is found of each lies in a folder of its
own beside the joint predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.pipeline import Faces
from ultraface_deploy.safe.records import Amount, Natural
from ultraface_deploy.wider import Matches, Tally, TruthImage, match_images, read_predictions
from ultraface_deploy.wider.predictions import write_predictions


@dataclass(frozen=True)
class ClassAp:
    """AP of one class: `label` from 1, `name` None where the model does not state it, `ap`
    where the labels have no such face."""

    label: Natural
    name: str | None
    faces: Natural
    ap: Amount | None


def folder_of(folder: Path, label: int) -> Path:
    """Return where the predictions of one class lie."""
    return folder / "classes" / str(label)


def write_classes(folder: Path, name: str, faces: Faces, spec: ModelSpec) -> None:
    """Write what was found of each class of an image; nothing where there is one class alone."""
    if spec.num_classes == 2:
        return
    for label in range(1, spec.num_classes):
        own = faces[faces.labels == label]
        write_predictions(folder_of(folder, label), name, (own.boxes, own.scores))


def by_class(spec: ModelSpec, folder: Path, truth: Sequence[TruthImage]) -> list[dict[str, Any]]:
    """Return AP by the rules of Pascal VOC 2010 for each class, over the faces of its label.

    Args:
        spec: the network, for its classes and their names.
        folder: where `write_classes` wrote.
        truth: the faces of each image, with their labels.
    """
    names = [image.name for image in truth]
    return [
        vars(_measured(spec, label, folder_of(folder, label), names, truth))
        for label in range(1, spec.num_classes)
    ]


def _measured(
    spec: ModelSpec, label: int, folder: Path, names: Sequence[str], truth: Sequence[TruthImage]
) -> ClassAp:
    own = [_of_label(image, label) for image in truth]
    matches = match_images(read_predictions(folder, names), own, pixel=0)
    faces = int(matches.kept.sum())
    ap = tally_by_score(matches).curve("ap").ap if faces else None
    return ClassAp(label, spec.class_names[label - 1] if spec.class_names else None, faces, ap)


def _of_label(image: TruthImage, label: int) -> TruthImage:
    assert image.labels is not None
    mine = image.labels == label
    return replace(
        image, boxes=image.boxes[mine], kept=image.kept[:, mine], labels=image.labels[mine]
    )


def tally_by_score(matches: Matches) -> Tally:
    """Count with every score as a threshold of its own."""
    levels, bins = np.unique(-matches.scores, return_inverse=True)
    return Tally.of(matches, ("ap",), bins, len(levels))
