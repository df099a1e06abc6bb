"""The same faces on emulated Cortex-M boards, from RGB565; part of `make test-c`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.converters.c.conftest import Case, Library, needs, pictures
from ultraface_deploy.benchmarks.microcontrollers import BOARDS, PROGRAMS, Board, detect, rgb565

pytestmark = pytest.mark.native


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.core)
def test_the_same_faces_on_a_microcontroller(
    board: Board, make_case: Callable[..., Case], open_library: Callable[..., Library]
) -> None:
    for program in PROGRAMS:
        needs(program)
    case, library = make_case("slim-320"), open_library("slim-320")
    picture = rgb565(pictures(case.spec)[3])
    wanted = library.detect(picture, format=3, threshold=0.05, capacity=20)
    assert len(wanted) > 0
    found = detect(case.source, board, picture)
    scaled = wanted[:, [0, 3, 4]] * [256, 256, 1 << 24]
    assert found.faces.tolist() == scaled.astype(int).tolist()
    # A multiply-accumulate takes an instruction at least: 81 million at 320x240.
    macs = 81e6 * case.spec.width * case.spec.height / (320 * 240)
    assert macs < found.instructions < 10 * macs
