"""What teachers saw in whole pictures: boxes of several views become one list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.cache import ImageCache
from ultraface_deploy.train.seen import look, merge


def test_a_face_of_two_views_is_one_with_the_mean_box() -> None:
    views = [np.float32([[0, 0, 10, 10, 0.9]]), np.float32([[2, 0, 12, 10, 0.3]])]
    ((x1, y1, x2, y2, score),) = merge(views)
    # Weights .9 and .3: a quarter of the way from the first box to the second.
    np.testing.assert_allclose([x1, y1, x2, y2], [0.5, 0, 10.5, 10], atol=1e-5)
    assert score == pytest.approx(np.sqrt((0.9**2 + 0.3**2) / 2))


def test_a_face_of_one_view_of_two_scores_less_and_stands_last() -> None:
    here, there = [0, 0, 10, 10, 0.8], [50, 50, 70, 70, 0.8]
    found = merge([np.float32([here, there]), np.float32([there])])
    np.testing.assert_allclose(found[0], there, rtol=1e-6)
    np.testing.assert_allclose(found[1], [*here[:4], 0.8 / np.sqrt(2)], rtol=1e-6)


def test_boxes_of_one_view_do_not_count_twice() -> None:
    doubled = np.float32([[0, 0, 10, 10, 0.6], [0, 0, 10, 11, 0.5]])
    assert merge([doubled])[:, 4].tolist() == pytest.approx([0.6])


def test_nothing_seen_is_an_empty_list() -> None:
    assert merge([np.empty((0, 5), np.float32)] * 2).shape == (0, 5)


def test_yunet_looks_once(shared: Path, tmp_path: Path, photos: list[Path]) -> None:
    samples = [Sample(path, np.empty((0, 4), np.float32), np.empty(0, bool)) for path in photos[:2]]
    cache = ImageCache(samples, tmp_path, 320)
    looked: list[None] = []
    teacher = shared / "peers/yunet_n_dynamic.onnx"
    for _ in range(2):
        seen = look(teacher, cache, (320, 480), tmp_path, lambda: looked.append(None))
        assert [each.shape[1] for each in seen] == [5, 5] and max(map(len, seen)) > 0
    assert len(looked) == 2
