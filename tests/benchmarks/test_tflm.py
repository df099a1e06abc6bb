"""The search for the smallest arena, with a runtime that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy.benchmarks import tflm


@pytest.mark.parametrize("needed", [33, 1000, 1253, 16_000])
def test_the_smallest_arena_is_found_to_4_kib(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflm, "fits", lambda path, arena: arena >= needed)
    found = tflm.smallest_arena(Path("net.tflite"))
    assert needed <= found <= needed + 4
