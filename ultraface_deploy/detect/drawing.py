"""Marking faces in a picture."""

from __future__ import annotations

import cv2

from ultraface_deploy.pipeline import Faces
from ultraface_deploy.pipeline.preprocess import Image

_COLOUR = (0, 220, 0)
_DARK = (0, 60, 0)


def draw_faces(bgr: Image, faces: Faces) -> Image:
    """Return a copy of an image (H, W, 3) uint8 BGR with a box and the score at each face."""
    marked: Image = bgr.copy()
    height, width = bgr.shape[:2]
    thickness = max(1, round(min(height, width) / 300))
    scale = max(0.35, thickness * 0.4)
    for box, score in zip(faces.boxes.round().astype(int).tolist(), faces.scores, strict=True):
        left, top, right, bottom = box
        cv2.rectangle(marked, (left, top), (right, bottom), _COLOUR, thickness)
        text = f"{score:.2f}"
        (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        # Above the face where there is room, else inside it.
        base = top - 2 if top - text_height - 4 > 0 else top + text_height + 3
        corner = (left + text_width, base - text_height - 2)
        cv2.rectangle(marked, (left, base + 2), corner, _COLOUR, cv2.FILLED)
        cv2.putText(
            marked, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, _DARK, 1, cv2.LINE_AA
        )
    return marked
