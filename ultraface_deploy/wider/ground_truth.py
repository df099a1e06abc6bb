"""The official evaluation files of WIDER FACE: which faces there are, and which each set counts."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.files import PARSE_ERRORS, require_file
from ultraface_deploy.limits import Limit

SETS = ("easy", "medium", "hard")
_ALL_FACES = "wider_face_val.mat"
_COMPRESSED = 15
_CHUNK = 1 << 20


@dataclass(frozen=True)
class TruthImage:
    """The faces of one image.

    `name` is `event/file` without suffix, `boxes` (N, 4) float64 corners x1 y1 x2 y2 in pixels
    (x2 = x + width, as the protocol has it), `kept` (S, N) bool: which faces each set counts; for
    WIDER FACE the rows are `SETS`. Faces that a set does not count are ignored, not background.
    """

    name: str
    boxes: npt.NDArray[np.float64]
    kept: npt.NDArray[np.bool_]


def read_ground_truth(folder: str | Path) -> tuple[TruthImage, ...]:
    """Read `wider_face_val.mat` and the lists of the easy, medium and hard set.

    Raises:
        InputError: a file is missing or no such file, or the lists disagree on the images.
        MissingDependency: scipy is not installed.
    """
    folder = Path(folder)
    names, boxes = _read_faces(folder / _ALL_FACES)
    lists = [_read_list(folder / f"wider_{name}_val.mat", names, boxes) for name in SETS]
    images = []
    for index, (name, faces) in enumerate(zip(names, boxes, strict=True)):
        kept = np.zeros((len(SETS), len(faces)), dtype=bool)
        for row, indices in zip(kept, lists, strict=True):
            row[indices[index]] = True
        images.append(TruthImage(name, faces, kept))
    return tuple(images)


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
    require_file(path, "WIDER FACE ground-truth file", Limit.TEXT)
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingDependency.package("scipy", "eval", f"reading {path.name}") from error
    try:
        Limit.MODEL.check(path, _unpacked_size(path))
        content: dict[str, Any] = loadmat(path)
    except InputError:
        raise
    except Exception as error:  # scipy raises nearly everything on damaged files
        raise _damaged(path) from error
    return content


def _unpacked_size(path: Path) -> int:
    """Return the bytes of the variables of a MAT-file (version 5) when they are unpacked.

    Layout: MathWorks, "MAT-File Format": a header of 128 bytes, then elements, each a type and
    a size; type 15 is compressed.
    """
    total, content = 0, path.read_bytes()
    order = "<" if content[126:128] == b"IM" else ">"
    at = 128
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        unpacker, packed = zlib.decompressobj(), content[at + 8 : at + 8 + size]
        if kind != _COMPRESSED:
            total += size
        while kind == _COMPRESSED and packed and total <= Limit.MODEL.bytes:
            total += len(unpacker.decompress(packed, _CHUNK))
            packed = unpacker.unconsumed_tail
        at += 8 + size
    return total


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path}: not an official WIDER FACE ground-truth file, or damaged; "
        "download the evaluation tools again"
    )
