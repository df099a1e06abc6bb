"""What the machine did meanwhile, from made-up clocks and sensors."""

from __future__ import annotations

from collections import namedtuple

import pytest

from ultraface_deploy.bench import meters, watch
from ultraface_deploy.bench.watch import Watch

Times = namedtuple("Times", "user idle iowait steal")


def test_other_processes_are_what_is_busy_but_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    of_cores = iter(
        [[Times(0, 0, 0, 0), Times(50, 0, 0, 0)], [Times(7, 2, 1, 1), Times(99, 0, 0, 0)]]
    )
    clock, own = iter([100.0, 110.0]), iter([(1.0, 0.0), (1.5, 0.5)])
    monkeypatch.setattr(watch.psutil, "cpu_times", lambda percpu: next(of_cores))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(watch.os, "times", lambda: next(own))
    monkeypatch.setattr(meters, "temperature_c", lambda: 61.0)
    for name in ("throttle_bits", "throttle_count"):
        monkeypatch.setattr(meters, name, lambda: None)
    watched = Watch([0])
    with watched.round() as seen:
        seen.own_cpu_seconds += 3.0
    # Core 0 was busy for 8 of 10 seconds: 3 with the child, 1 with ourselves, 4 with others.
    assert watched.other_cores == pytest.approx(0.4)
    assert Watch.summary([watched]) == {
        "other_processes_cores": 0.4,
        "temperature_c": [61.0, 61.0],
        "throttled": None,
    }


def test_throttling_between_two_readings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([5, 6, 6])
    monkeypatch.setattr(meters, "throttle_bits", lambda: None)
    monkeypatch.setattr(meters, "throttle_count", lambda: next(counts))
    watched = Watch([0])
    with watched.round():
        pass
    assert Watch.summary([watched])["throttled"] == ["throttled"]


def test_nothing_watched_is_nothing_known() -> None:
    assert set(Watch.summary([]).values()) == {None}
