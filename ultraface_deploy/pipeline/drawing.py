"""Marking faces in a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.pipeline.faces import Faces
from ultraface_deploy.safe import opencv
from ultraface_deploy.safe.images import Image, as_bgr
from ultraface_deploy.safe.opencv import cv2

# Orange with a dark rim (Okabe and Ito's colour-blind-safe palette): it stands out against skin,
# grass and sky, for people who confuse red and green too, and in gray.
_COLOUR = (0, 159, 230)
_RIM = (40, 40, 40)
# Beyond every picture that can be drawn in, and well within OpenCV's integers.
_FAR = 100_000


def draw_faces(image: npt.NDArray[Any], faces: Faces, labels: bool = True) -> Image:
    """Return a copy of an image (H, W, 3) uint8 BGR with a box at each face, and its landmarks.

    The score, and the class where it has a name, is written where it hides no other face: above
    the box, else below it, else inside its own box; where it fits in none of these it is left out.
    Without OpenCV there are the boxes alone.
    """
    marked: Image = as_bgr(image).copy()
    thickness = max(1, round(min(marked.shape[:2]) / 500))
    boxes = _pixels(faces.boxes)
    if not opencv.available():
        _frame_plainly(marked, boxes, thickness)
        return marked
    for left, top, right, bottom in boxes.tolist():
        cv2.rectangle(marked, (left, top), (right, bottom), _RIM, thickness + 2)
    for left, top, right, bottom in boxes.tolist():
        cv2.rectangle(marked, (left, top), (right, bottom), _COLOUR, thickness)
    if faces.landmarks is not None:
        for x, y in _pixels(faces.landmarks.reshape(-1, 2)).tolist():
            cv2.circle(marked, (x, y), thickness + 2, _RIM, cv2.FILLED)
            cv2.circle(marked, (x, y), thickness, _COLOUR, cv2.FILLED)
    if labels:
        _write_labels(marked, boxes, _texts(faces), scale=max(0.35, thickness * 0.35))
    return marked


def _pixels(places: np.ndarray) -> np.ndarray:
    """Round to whole pixels; a network that has learnt little may give any number, and none."""
    near = np.nan_to_num(places).clip(-_FAR, _FAR)
    return np.asarray(near.round(), int)


def _frame_plainly(marked: Image, boxes: np.ndarray, thickness: int) -> None:
    """Draw the boxes alone, for boards without OpenCV."""
    for colour, rim in ((_RIM, 1), (_COLOUR, 0)):
        reach = thickness // 2 + rim
        for left, top, right, bottom in boxes.tolist():
            low_x, low_y, high_x, high_y = (
                max(0, edge) for edge in (left - reach, top - reach, right + reach, bottom + reach)
            )
            wide = 2 * reach + 1
            for y in (top - reach, bottom - reach):
                marked[max(0, y) : max(0, y + wide), low_x : high_x + 1] = colour
            for x in (left - reach, right - reach):
                marked[low_y : high_y + 1, max(0, x) : max(0, x + wide)] = colour


def _texts(faces: Faces) -> list[str]:
    """What is written of each face; OpenCV's fonts have no letters beyond ASCII."""
    named = ("" if name is None else f"{name} " for name in faces.names)
    return [
        f"{name.encode('ascii', 'replace').decode()}{score:.2f}"
        for name, score in zip(named, faces.scores, strict=True)
    ]


def _write_labels(marked: Image, boxes: np.ndarray, texts: list[str], scale: float) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    height, width = marked.shape[:2]
    taken = boxes.astype(float).reshape(-1, 4)
    for own, (box, text) in enumerate(zip(boxes.tolist(), texts, strict=True)):
        (wide, high), _ = cv2.getTextSize(text, font, scale, 1)
        left, top, right, bottom = box
        others = np.delete(taken, own, axis=0)
        for y in (top - high - 6, bottom + 4, top + 3):
            place = (left, y, left + wide + 2, y + high + 2)
            inside_own = y == top + 3
            fits = place[0] >= 0 and y >= 0 and place[2] <= width and place[3] <= height
            if inside_own:
                # A score over a small face would hide what it is about.
                fits = fits and wide + 2 <= right - left and 4 * high <= bottom - top
            if fits and not _overlaps(place, others):
                corner = (place[0] + 1, place[3] - 1)
                cv2.putText(marked, text, corner, font, scale, _RIM, 3, cv2.LINE_AA)
                cv2.putText(marked, text, corner, font, scale, _COLOUR, 1, cv2.LINE_AA)
                taken = np.vstack([taken, np.array(place, float)])
                break


def _overlaps(place: tuple[int, int, int, int], boxes: np.ndarray) -> bool:
    left, top, right, bottom = place
    return bool(
        (
            (boxes[:, 0] < right)
            & (boxes[:, 2] > left)
            & (boxes[:, 1] < bottom)
            & (boxes[:, 3] > top)
        ).any()
    )
