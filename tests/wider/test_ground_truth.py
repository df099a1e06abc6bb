"""The official evaluation files: read as they are, refused when they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.wider import read_ground_truth

IMAGES = {
    # Names that end in letters of the suffix, which a careless strip would eat.
    "0--Parade/a_jpg": [((10, 20, 30, 40), ["easy", "medium", "hard"]), ((1, 2, 3, 4), ["hard"])],
    "0--Parade/no_faces": [],
    "1--Talk/b": [((5, 5, 8, 8), ["medium", "hard"])],
}


def test_written_files_are_read_back(tmp_path: Path, write_truth) -> None:
    truth = read_ground_truth(write_truth(tmp_path, IMAGES))
    assert [image.name for image in truth] == list(IMAGES)
    np.testing.assert_array_equal(truth[0].boxes, [[10, 20, 40, 60], [1, 2, 4, 6]])
    np.testing.assert_array_equal(truth[0].kept, [[True, False], [True, False], [True, True]])
    assert truth[1].boxes.shape == (0, 4) and truth[1].kept.shape == (3, 0)
    np.testing.assert_array_equal(truth[2].kept, [[False], [True], [True]])


@pytest.mark.parametrize(
    ("folder", "images", "counts"),
    [
        ("ground_truth_dev", 400, None),
        # The numbers of faces of the official validation set.
        ("ground_truth_full", 3226, [7211, 13319, 31958]),
    ],
)
def test_official_files(shared: Path, folder: str, images: int, counts: list[int] | None) -> None:
    truth = read_ground_truth(shared / "wider" / folder)
    assert len(truth) == images
    kept = np.concatenate([image.kept for image in truth], axis=1).sum(axis=1)
    assert kept[0] < kept[1] < kept[2]
    if counts is not None:
        assert kept.tolist() == counts


@pytest.mark.parametrize(
    "content",
    [b"", b"no mat file", b"MATLAB 5.0 MAT-file" + bytes(200)],
    ids=["empty", "text", "cut"],
)
@pytest.mark.parametrize("name", ["wider_face_val.mat", "wider_hard_val.mat"])
def test_what_is_no_mat_file_is_refused(
    tmp_path: Path, write_truth, name: str, content: bytes
) -> None:
    (write_truth(tmp_path, IMAGES) / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_ground_truth(tmp_path)


def test_mat_file_of_something_else_is_refused(tmp_path: Path, write_truth) -> None:
    from scipy.io import savemat

    savemat(write_truth(tmp_path, IMAGES) / "wider_face_val.mat", {"x": np.eye(3)})
    with pytest.raises(InputError, match="not an official"):
        read_ground_truth(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        read_ground_truth(tmp_path / "absent")


def test_lists_of_different_downloads_are_refused(tmp_path: Path, write_truth) -> None:
    write_truth(tmp_path, IMAGES)
    write_truth(tmp_path / "other", {"1--Talk/b": IMAGES["1--Talk/b"]})
    (tmp_path / "other" / "wider_easy_val.mat").replace(tmp_path / "wider_easy_val.mat")
    with pytest.raises(InputError, match="lists other images"):
        read_ground_truth(tmp_path)


def test_list_of_a_face_that_is_not_there_is_refused(tmp_path: Path, write_truth) -> None:
    write_truth(tmp_path, IMAGES)
    more = {**IMAGES, "1--Talk/b": [((5, 5, 8, 8), []), ((6, 6, 8, 8), ["hard"])]}
    write_truth(tmp_path / "other", more)
    (tmp_path / "other" / "wider_hard_val.mat").replace(tmp_path / "wider_hard_val.mat")
    with pytest.raises(InputError, match="wider_hard_val"):
        read_ground_truth(tmp_path)
