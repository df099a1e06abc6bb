"""The official evaluation files of WIDER FACE: which faces there are, and which each set counts."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, MissingDependency, ToolFailed
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import PARSE_ERRORS, require_file
from ultraface_deploy.safe.limits import Limit

SETS = ("easy", "medium", "hard")
_ALL_FACES = "wider_face_val.mat"
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class TruthImage:
    """The faces of one image.

    `name` is `event/file` without suffix, `boxes` (N, 4) float64 corners x1 y1 x2 y2 in pixels
    (x2 = x + width, as the protocol has it), `kept` (S, N) bool: which faces each set counts; for
    WIDER FACE the rows are `SETS`. Faces that a set does not count are ignored, not background.
    `labels` (N,) are their classes from 1, None where all are faces.
    """

    name: str
    boxes: npt.NDArray[np.float64]
    kept: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64] | None = None


def require_ground_truth(folder: Path) -> None:
    """Refuse a folder that cannot be read, in less than the time that reading takes.

    Raises:
        InputError: a file is missing.
        MissingDependency: scipy is not installed.
    """
    for name in (_ALL_FACES, *(f"wider_{name}_val.mat" for name in SETS)):
        require_file(folder / name, "WIDER FACE ground-truth file", Limit.TEXT)
    if find_spec("scipy") is None:
        raise MissingDependency.package("scipy", "eval", f"reading {_ALL_FACES}")


def read_ground_truth(folder: str | Path) -> tuple[TruthImage, ...]:
    """Read `wider_face_val.mat` and the lists of the easy, medium and hard set.

    Raises:
        InputError: a file is missing or no such file, or the lists disagree on the images.
        MissingDependency: scipy is not installed.
    """
    folder = Path(folder)
    require_ground_truth(folder)
    try:
        # scipy's reader crashes, hangs or takes gigabytes on some damaged files.
        images = run_in_child(
            "ultraface_deploy.wider.ground_truth:read_in_child",
            {"folder": str(folder.absolute())},
            what="scipy",
            timeout=_TIMEOUT_S,
            memory=Limit.MODEL.bytes,
        )
    except ToolFailed as error:
        raise _damaged(folder, f" ({error})") from error
    return tuple(
        TruthImage(
            image["name"],
            np.array(image["boxes"], dtype=np.float64).reshape(-1, 4),
            np.array(image["kept"], dtype=bool).reshape(len(SETS), -1),
        )
        for image in images
    )


def read_in_child(folder: str) -> list[dict[str, Any]]:
    """Return the fields of each `TruthImage` as JSON has them."""
    names, boxes = _read_faces(Path(folder) / _ALL_FACES)
    lists = [_read_list(Path(folder) / f"wider_{name}_val.mat", names, boxes) for name in SETS]
    images = []
    for index, (name, faces) in enumerate(zip(names, boxes, strict=True)):
        kept = np.zeros((len(SETS), len(faces)), dtype=bool)
        for row, indices in zip(kept, lists, strict=True):
            row[indices[index]] = True
        images.append({"name": name, "boxes": faces.tolist(), "kept": kept.tolist()})
    return images


def _read_faces(path: Path) -> tuple[list[str], list[npt.NDArray[np.float64]]]:
    content = _load(path)
    try:
        names = _image_names(content)
        boxes = [
            np.array(faces, dtype=np.float64).reshape(-1, 4)
            for event in content["face_bbx_list"][:, 0]
            for faces in event[:, 0]
        ]
    except PARSE_ERRORS as error:
        raise _damaged(path) from error
    if len(names) != len(boxes) or len(set(names)) != len(names):
        raise _damaged(path)
    for faces in boxes:
        faces[:, 2:] += faces[:, :2]
        if not np.isfinite(faces).all():
            raise _damaged(path)
    return names, boxes


def _read_list(
    path: Path, names: list[str], boxes: list[npt.NDArray[np.float64]]
) -> list[npt.NDArray[np.int64]]:
    """Return per image the indices, from 0, of the faces that the set counts."""
    content = _load(path)
    try:
        listed = _image_names(content)
        indices = [
            np.asarray(kept, dtype=np.int64).ravel() - 1
            for event in content["gt_list"][:, 0]
            for kept in event[:, 0]
        ]
    except PARSE_ERRORS as error:
        raise _damaged(path) from error
    if listed != names or len(indices) != len(names):
        raise InputError(
            f"{path}: lists other images than {_ALL_FACES} beside it "
            f"({len(listed)} and {len(names)}); take all four files from one download"
        )
    if any(
        len(kept) and not 0 <= kept.min() <= kept.max() < len(faces)
        for kept, faces in zip(indices, boxes, strict=True)
    ):
        raise _damaged(path)
    return indices


def _image_names(content: dict[str, Any]) -> list[str]:
    return [
        f"{event.item()}/{file.item()}"
        for event, files in zip(
            content["event_list"][:, 0], content["file_list"][:, 0], strict=True
        )
        for file in files[:, 0]
    ]


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(path)
    except Exception as error:  # scipy raises nearly everything on damaged files
        raise _damaged(path) from error
    return content


def _damaged(path: Path, why: str = "") -> InputError:
    return InputError(
        f"{path}: not an official WIDER FACE ground-truth file, or damaged{why}; "
        "download the evaluation tools again"
    )
