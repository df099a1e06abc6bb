"""Pictures without faces: of every kind, not empty, and the same every time."""

from __future__ import annotations

import numpy as np

from ultraface_deploy.train.faceless import pictures


def test_the_kinds_take_turns_and_repeat_exactly() -> None:
    first, again = list(pictures(12)), list(pictures(12))
    kinds = [kind for kind, _ in first]
    assert len(set(kinds)) == 6 and kinds[:6] == kinds[6:]
    for (_, picture), (_, same) in zip(first, again, strict=True):
        assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
        assert picture.std() > 1
        np.testing.assert_array_equal(picture, same)
    assert not np.array_equal(first[0][1], first[6][1])
