"""The trial of numbers of workers, with a clock that is set by hand."""

from __future__ import annotations

import pytest

from ultraface_deploy.detect.workers import Trial, steps


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def settled(rates: dict[int, float]) -> Trial:
    """Let a trial run in which so many pictures a second come out with each number."""
    clock = Clock()
    trial = Trial(list(rates), clock=clock)
    for _ in range(10_000):
        if trial.settled:
            return trial
        clock.now += 1 / rates[trial.workers]
        trial.finished()
    raise AssertionError("it does not settle")


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ({1: 50, 2: 95, 4: 180}, 4),
        ({1: 50, 2: 95, 4: 97}, 2),
        ({1: 50, 2: 52, 4: 500}, 1),
        ({1: 50, 2: 30}, 1),
        ({1: 0.5, 2: 0.9}, 2),
    ],
)
def test_the_last_step_that_brought_something(rates: dict[int, float], chosen: int) -> None:
    trial = settled(rates)
    assert trial.workers == chosen
    for number, rate in trial.rates.items():
        assert rate == pytest.approx(rates[number], rel=0.3)
    assert f"working on {chosen} at a time" in str(trial)


def test_pictures_begun_before_a_step_do_not_count() -> None:
    clock = Clock()
    trial = Trial([1, 2], seconds=1, clock=clock)
    for _ in range(3):
        clock.now += 0.0
        trial.finished()
    for _ in range(10):
        clock.now += 0.1
        trial.finished()
    assert trial.rates[1] == pytest.approx(10, rel=0.2)


def test_what_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)))
    assert steps(None, live=False, threads=1) == [1, 2, 4, 6]
    assert steps(1000, live=False, threads=3) == [1, 2]
    assert steps(1000, live=False, threads=8) == [1]
    assert steps(5, live=False, threads=1) == [1]
    assert steps(None, live=True, threads=1) == [1]
