"""Pictures without faces: of every kind, not empty, and the same every time."""

from __future__ import annotations

import numpy as np

from ultraface_deploy.train.faceless import pictures


def test_the_kinds_take_turns_and_repeat_exactly() -> None:
    first, again = list(pictures(18)), list(pictures(18))
    kinds = [kind for kind, _ in first]
    assert len(set(kinds)) == 6 and kinds[:6] == kinds[6:12]
    for (_, picture), (_, same) in zip(first, again, strict=True):
        assert picture.dtype == np.uint8
        assert picture.std() > 1
        np.testing.assert_array_equal(picture, same)
    shapes = [picture.shape for _, picture in first]
    assert shapes == [(480, 640, 3)] * 6 + [(480, 360, 3)] * 6 + [(360, 640, 3)] * 6
    assert not np.array_equal(first[0][1], first[6][1])
