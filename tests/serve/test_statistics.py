"""Rates, latencies and the last hour."""

from __future__ import annotations

import pytest

from ultraface_deploy.serve.statistics import Statistics


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_rates_and_medians() -> None:
    clock = Clock()
    statistics = Statistics(clock=clock)
    for picture in range(100):
        clock.now += 0.1
        statistics.add(2, {"network": 0.004 if picture % 2 else 0.006, "wait": 0.001})
    recent = statistics.recent()
    assert recent.pictures_per_second == pytest.approx(10, rel=0.03)
    assert recent.faces_per_second == pytest.approx(20, rel=0.03)
    assert recent.faces == 2
    assert recent.milliseconds["network"] in (4.0, 5.0, 6.0)
    assert recent.milliseconds["wait"] == 1.0
    assert "encode" not in recent.milliseconds
    statistics.encoded(0.002)
    assert statistics.recent().milliseconds["encode"] == 2.0


def test_a_source_that_is_gone_has_no_rate() -> None:
    clock = Clock()
    statistics = Statistics(clock=clock)
    assert statistics.recent().pictures_per_second == 0
    statistics.add(1, {"network": 0.1})
    assert statistics.recent().pictures_per_second == 0
    clock.now += 60
    assert statistics.recent().milliseconds == {}


def test_the_last_hour() -> None:
    clock = Clock()
    statistics = Statistics(clock=clock)
    for faces in (1, 5, 0):
        statistics.add(faces, {"network": 0.1})
    clock.now += 20
    statistics.add(3, {"network": 0.1})
    assert statistics.hour() == [(20.0, 5, 2.0), (0.0, 3, 3.0)]
    clock.now += 3595
    assert [most for _, most, _ in statistics.hour()] == [3]
    clock.now += 10
    assert statistics.hour() == []
