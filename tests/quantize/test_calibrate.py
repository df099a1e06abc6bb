from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.conftest import Case
from tests.quantize.helpers import tensor_of
from ultraface_deploy.errors import InputError
from ultraface_deploy.pipeline import preprocess
from ultraface_deploy.pipeline.view import letterbox
from ultraface_deploy.quantize.calibrate import calibrate
from ultraface_deploy.quantize.images import read_tensors, sample_images
from ultraface_deploy.safe.images import read_image


def test_three_images_are_enough_and_give_the_same_table_twice(
    slim: Case, photos: list[Path]
) -> None:
    first = calibrate(slim.network, slim.executor, slim.spec, photos[:3])
    second = calibrate(slim.network, slim.executor, slim.spec, photos[:3])
    assert first.images["count"] == 3
    assert first.ranges == second.ranges
    assert first.costs == second.costs


def test_statistics_of_the_input_are_those_of_the_images(slim: Case, photos: list[Path]) -> None:
    table = calibrate(slim.network, slim.executor, slim.spec, photos[:2])
    tensors = np.concatenate([tensor_of(photo, slim.spec) for photo in photos[:2]])
    np.testing.assert_allclose(
        table.absmax["input"], np.abs(tensors).max(axis=(0, 2, 3)), rtol=1e-4
    )
    np.testing.assert_allclose(table.mean["input"], tensors.mean(axis=(0, 2, 3)), rtol=1e-3)
    low, high = table.ranges["input"]["p99.999"]
    assert low == pytest.approx(min(tensors.min(), 0), abs=0.01)
    assert high == pytest.approx(tensors.max(), abs=0.01)


def test_progress_is_told_to_the_end(slim: Case, photos: list[Path]) -> None:
    steps: list[tuple[int, int]] = []
    calibrate(
        slim.network,
        slim.executor,
        slim.spec,
        photos[:1],
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_unreadable_images_are_left_out(slim: Case, photos: list[Path], tmp_path: Path) -> None:
    shutil.copy(photos[0], tmp_path / "good.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("not even called one")
    files = sample_images(tmp_path)
    assert len(files) == 3
    assert len(list(read_tensors(files, slim.spec))) == 1


def test_only_unreadable_images_are_an_error(slim: Case, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="none of 1 image could be read"):
        calibrate(slim.network, slim.executor, slim.spec, sample_images(tmp_path))


def test_empty_and_absent_folders_are_errors(slim: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no photographs"):
        sample_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        sample_images(tmp_path / "absent")
    with pytest.raises(InputError, match="no images were given"):
        calibrate(slim.network, slim.executor, slim.spec, [])


def test_sample_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    for root in ("a", "b/c"):
        for name in ("x/1.jpg", "x/2.jpg", "y/1.jpg", "3.png"):
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    first, second = (
        [path.relative_to(tmp_path / root) for path in sample_images(tmp_path / root)]
        for root in ("a", "b/c")
    )
    assert first == second
    assert len(first) == 4


def test_padded_photographs_are_calibrated_on_as_they_are_looked_at(
    slim: Case, photos: list[Path]
) -> None:
    photo, spec = photos[0], slim.spec
    canvas, _ = letterbox(read_image(photo), spec.width, spec.height, spec)
    (tensor,) = read_tensors([photo], spec, keep_aspect=True)
    np.testing.assert_array_equal(tensor, preprocess(canvas, spec))
    padded = calibrate(slim.network, slim.executor, spec, [photo], keep_aspect=True)
    assert padded.images["sha256"] == hashlib.sha256(tensor.tobytes()).hexdigest()
