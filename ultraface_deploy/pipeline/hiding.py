"""Making faces unrecognisable."""

# Tested by tests/pipeline/test_view.py.

from __future__ import annotations

from typing import Literal

import numpy as np

from ultraface_deploy.pipeline.faces import Faces
from ultraface_deploy.safe.images import Image
from ultraface_deploy.safe.opencv import cv2

Hiding = Literal["blur", "pixelate"]

# What is left of a face, along its longer side: too little for anybody to be known by.
_CELLS = 6
# The box ends at the chin and the eyebrows; hair and ears are recognised as well.
_MARGIN = 0.15


def hide_faces(bgr: Image, faces: Faces, how: Hiding = "blur", margin: float = _MARGIN) -> Image:
    """Return a copy of an image (H, W, 3) uint8 BGR in which nobody can be recognised.

    Each face is reduced to a few cells first, so no filter brings it back.

    Args:
        bgr: the image.
        faces: found in it.
        how: smooth, or as visible squares.
        margin: how much around a box is hidden too, as a share of its sides.
    """
    hidden: Image = bgr.copy()
    height, width = bgr.shape[:2]
    way = cv2.INTER_LINEAR if how == "blur" else cv2.INTER_NEAREST
    for x1, y1, x2, y2 in faces.boxes.astype(float).tolist():
        wide, high = (x2 - x1) * margin, (y2 - y1) * margin
        left, right = np.clip([np.floor(x1 - wide), np.ceil(x2 + wide)], 0, width).astype(int)
        top, bottom = np.clip([np.floor(y1 - high), np.ceil(y2 + high)], 0, height).astype(int)
        if right <= left or bottom <= top:
            continue
        # From what is hidden already: of two faces that overlap neither may come back.
        face = hidden[top:bottom, left:right]
        scale = min(1.0, _CELLS / max(face.shape[:2]))
        cells = (max(1, round(face.shape[1] * scale)), max(1, round(face.shape[0] * scale)))
        small = cv2.resize(face, cells, interpolation=cv2.INTER_AREA)
        hidden[top:bottom, left:right] = cv2.resize(small, face.shape[1::-1], interpolation=way)
    return hidden
