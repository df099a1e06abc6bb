"""Predictions in the official text format: one file per image, in a folder per event.

<folder>/<event>/<file>.txt
    <file>            the name of the image; the tools do not read it
    <count>
    x y width height score
    ...
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import inside, make_folder, read_text, require_file, write_text
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.wider.matching import Detections


def write_predictions(folder: Path, name: str, detections: Detections) -> None:
    """Write the detections of the image `event/file`; boxes as corners, nine digits a number.

    Raises:
        InputError: the folder cannot be written.
    """
    path = predictions_path(folder, name)
    make_folder(path.parent)
    write_text(path, format_predictions(path.stem, detections))


def format_predictions(title: str, detections: Detections) -> str:
    """Return the text of one file. Nine digits give back every float32 as it was."""
    corners, scores = (np.asarray(part, dtype=np.float64) for part in detections)
    rows = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2], scores])
    lines = ["%.9g %.9g %.9g %.9g %.9g" % tuple(row) for row in rows]  # noqa: UP031 - thrice as fast
    return "\n".join([title, str(len(lines)), *lines]) + "\n"


def read_predictions(folder: str | Path, names: Iterable[str]) -> dict[str, Detections]:
    """Read the predictions of the named images, whoever wrote them.

    Raises:
        InputError: a file is missing or is not a predictions file.
    """
    return {name: read_file(predictions_path(Path(folder), name)) for name in names}


def read_file(path: Path) -> Detections:
    """Read one file: boxes (N, 4) as corners and scores (N,), both float64.

    NaN, infinite and inverted boxes are read as they stand; `match_images` counts them.

    Raises:
        InputError: the file is missing or no predictions file; names the line.
    """
    require_file(path, "predictions file", Limit.TEXT)
    try:
        lines = read_text(path).splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file; expected WIDER FACE predictions") from error
    rows = [line.split() for line in lines[2:] if line.strip()]
    try:
        values = np.array(rows, dtype=np.float64).reshape(len(rows), 5)
        count = int(lines[1])
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{path}: expected a name, a count, then rows of x y width height score"
        ) from error
    if count != len(values):
        raise InputError(
            f"{path}: announces {count} predictions and holds {len(values)}; write it again"
        )
    values[:, 2:4] += values[:, :2]
    return values[:, :4], values[:, 4]


def predictions_path(folder: Path, name: str) -> Path:
    """Return where the predictions of an image belong.

    Raises:
        InputError: the name leads out of the folder.
    """
    return inside(folder, f"{name}.txt")
