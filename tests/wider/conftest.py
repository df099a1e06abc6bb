"""Small ground truths as official files and as records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.wider import SETS, TruthImage

# Faces of an image as x y width height, and the sets that count each.
Faces = Sequence[tuple[tuple[float, float, float, float], Sequence[str]]]
MakeTruth = Callable[[Mapping[str, Faces]], tuple[TruthImage, ...]]
WriteTruth = Callable[[Path, Mapping[str, Faces]], Path]


@pytest.fixture(scope="session")
def make_truth() -> MakeTruth:
    """Return a function that builds the records of some images."""

    def make(images: Mapping[str, Faces]) -> tuple[TruthImage, ...]:
        records = []
        for name, faces in images.items():
            boxes = np.array([box for box, _ in faces], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            kept = [[subset in sets for _, sets in faces] for subset in SETS]
            shaped = np.array(kept, dtype=bool).reshape(len(SETS), len(faces))
            records.append(TruthImage(name, boxes, shaped))
        return tuple(records)

    return make


@pytest.fixture(scope="session")
def write_truth() -> WriteTruth:
    """Return a function that writes images as the four official files into a folder."""
    savemat = pytest.importorskip("scipy.io", reason="the official files are MATLAB's").savemat

    def write(folder: Path, images: Mapping[str, Faces]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        events = list(dict.fromkeys(name.split("/")[0] for name in images))
        by_event = [[n for n in images if n.split("/")[0] == event] for event in events]
        common = {
            "event_list": _cells(events),
            "file_list": _cells([_cells([n.split("/")[1] for n in names]) for names in by_event]),
        }
        boxes = _cells(
            [
                _cells([np.array([box for box, _ in images[n]]).reshape(-1, 4) for n in names])
                for names in by_event
            ]
        )
        savemat(folder / "wider_face_val.mat", common | {"face_bbx_list": boxes})
        for subset in SETS:
            kept = _cells(
                [
                    _cells(
                        [
                            np.array([[i] for i, (_, s) in enumerate(images[n], 1) if subset in s])
                            for n in names
                        ]
                    )
                    for names in by_event
                ]
            )
            savemat(folder / f"wider_{subset}_val.mat", common | {"gt_list": kept})
        return folder

    return write


def _cells(values: Sequence[object]) -> np.ndarray:
    """A MATLAB cell array, (N, 1)."""
    cells = np.empty((len(values), 1), dtype=object)
    for index, value in enumerate(values):
        cells[index, 0] = value
    return cells
