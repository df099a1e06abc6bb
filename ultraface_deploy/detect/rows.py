"""What is known of one picture, as a row of a table."""

# Tested by tests/detect/test_tables.py.

from __future__ import annotations

from typing import Any

from ultraface_deploy.detect.frames import Frame, Stopped, Unread
from ultraface_deploy.pipeline import Faces

Row = dict[str, Any]
"""`file` as it was given; `frame` its number in a video, else None; `time` in seconds from the
first picture, when the video shows it, or when a camera or stream gave it, else None; `width` and
`height` in pixels; `faces` each with `box` x1 y1 x2 y2, `score`, `label`, where the network states
it the class's `name`, and where it finds them `landmarks`; `error` is None, or why the picture
cannot be read: then there are no faces and no size; `damage` is None, or what is wrong with a
picture that was read in part."""


def row_of(frame: Frame, faces: Faces) -> Row:
    """Return the row of a picture that was looked at; pixels to a thousandth."""
    width, height = frame.size
    return {
        "file": frame.name,
        "frame": frame.index,
        "time": None if frame.time is None else round(frame.time, 6),
        "width": width,
        "height": height,
        "faces": records(faces),
        "error": None,
        "damage": frame.damage,
    }


def row_of_unread(unread: Unread | Stopped) -> Row:
    """Return the row of what could not be read; of a video that broke off, `frame` is where."""
    return {
        "file": unread.name,
        "frame": unread.index,
        "time": None,
        "width": None,
        "height": None,
        "faces": None,
        "error": unread.reason,
        "damage": None,
    }


def records(faces: Faces) -> list[dict[str, Any]]:
    """Return faces as they stand in a row."""
    found = []
    for face in faces:
        record: dict[str, Any] = {
            "box": [round(value, 3) for value in face.box],
            "score": round(face.score, 6),
            "label": face.label,
        }
        if face.name is not None:
            record["name"] = face.name
        if face.landmarks is not None:
            record["landmarks"] = [[round(value, 3) for value in point] for point in face.landmarks]
        found.append(record)
    return found
