"""Which prediction found which face: the matching rule of the official protocol."""

# Tested by tests/wider/test_protocol.py.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ultraface_deploy.pipeline import iou_matrix
from ultraface_deploy.wider.ground_truth import TruthImage

# Boxes (N, 4) as corners x1 y1 x2 y2 in pixels, and scores (N,); in any order.
Detections = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]

IOU_THRESHOLD = 0.5
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Matches:
    """The predictions of all images, best first within an image, and the faces they found.

    Over P predictions: `image` (P,) index into `names`, `scores` (P,), `face` (P,) index of the
    face it overlaps most with an IoU of at least 0.5, else -1, `first` (P,) bool: no better
    prediction of the image found that face. Over F faces of all images: `face_image` (F,),
    `face_height` (F,) in pixels, `kept` (S, F) bool. `invalid` counts predictions with a value
    that is not finite or with negative width or height; they find nothing and stay in as false
    alarms, with the lowest score where the score is not finite.
    """

    names: tuple[str, ...]
    image: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    face: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]
    face_image: npt.NDArray[np.int64]
    face_height: npt.NDArray[np.float64]
    kept: npt.NDArray[np.bool_]
    invalid: int

    @property
    def faces(self) -> npt.NDArray[np.int64]:
        """Number of faces that each set counts, per image: (S, images)."""
        images = len(self.names)
        return np.array([np.bincount(self.face_image[row], minlength=images) for row in self.kept])

    def outcomes(self, subset: int) -> npt.NDArray[np.int8]:
        """What each prediction is to a set: 1 a hit, 0 a false alarm, -1 not counted.

        The first prediction on a face is a hit and every further one a false alarm. Predictions
        on a face that the set does not count are left out.
        """
        outcome = self.first.astype(np.int8)
        found = self.face >= 0
        outcome[found] = np.where(self.kept[subset, self.face[found]], outcome[found], -1)
        return outcome


def match_images(
    predictions: Mapping[str, Detections], images: Sequence[TruthImage], pixel: float = 1.0
) -> Matches:
    """Match the predictions of every image; an image without an entry has no predictions.

    Args:
        predictions: detections by image name.
        images: the ground truth.
        pixel: 1 for the protocol's IoU, in which a box from x1 to x2 is x2 - x1 + 1 wide.
    """
    nothing = (np.empty((0, 4)), np.empty(0))
    found = [_match(predictions.get(image.name, nothing), image.boxes, pixel) for image in images]
    face_counts = np.array([len(image.boxes) for image in images], dtype=np.int64)
    starts = np.cumsum(face_counts) - face_counts
    scores = _join([each.scores for each in found], np.float64)
    # A score that is not finite has no rank: the last place is the only one that cannot flatter.
    finite = np.isfinite(scores)
    scores[~finite] = scores[finite].min() if finite.any() else 0.0
    return Matches(
        names=tuple(image.name for image in images),
        image=np.repeat(np.arange(len(images)), [len(each.scores) for each in found]),
        scores=scores,
        face=_join(
            [
                np.where(each.face >= 0, each.face + start, -1)
                for each, start in zip(found, starts, strict=True)
            ],
            np.int64,
        ),
        first=_join([each.first for each in found], np.bool_),
        face_image=np.repeat(np.arange(len(images)), face_counts),
        face_height=_join([image.boxes[:, 3] - image.boxes[:, 1] for image in images], np.float64),
        kept=np.concatenate([image.kept for image in images], axis=1),
        invalid=sum(each.invalid for each in found),
    )


@dataclass(frozen=True)
class _ImageMatch:
    scores: npt.NDArray[np.float64]
    face: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]
    invalid: int


def _match(detections: Detections, faces: npt.NDArray[np.float64], pixel: float) -> _ImageMatch:
    boxes = np.asarray(detections[0], dtype=np.float64).reshape(-1, 4)
    scores = np.asarray(detections[1], dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    sound = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    sound[sound] = (boxes[sound, 2:] >= boxes[sound, :2]).all(axis=1)
    face = np.full(len(scores), -1, dtype=np.int64)
    if len(faces) and sound.any():
        overlaps = iou_matrix(boxes[sound], faces, pixel)
        face[sound] = np.where(overlaps.max(axis=1) >= IOU_THRESHOLD, overlaps.argmax(axis=1), -1)
    first = np.zeros(len(face), dtype=bool)
    first[np.unique(face, return_index=True)[1]] = True
    return _ImageMatch(scores, face, first & (face >= 0), int((~sound).sum()))


def _join(parts: list[npt.NDArray[Scalar]], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])
