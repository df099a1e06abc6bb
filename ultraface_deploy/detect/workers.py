"""How many pictures to work on at a time: as many as pay, measured on the first of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SECONDS = 1.0
"""For the whole measurement."""
# Fewer pictures are done before a measurement would pay.
_WORTH_MEASURING = 32
# A further worker costs memory: it must bring this much.
_GAIN = 1.1
_LEAST_COUNTED = 4


def steps(pictures: int | None, live: bool, threads: int) -> list[int]:
    """Return the numbers of workers to try: 1, 2, 4 ... as many as the cores feed.

    Args:
        pictures: how many are to come, None where nobody knows.
        live: a camera or a stream, of which one waits for each picture anyway.
        threads: that one detector takes for itself.
    """
    most = max(1, len(os.sched_getaffinity(0)) // threads)
    if live or (pictures is not None and pictures < _WORTH_MEASURING):
        return [1]
    tried = [1]
    while tried[-1] < most:
        tried.append(min(most, 2 * tried[-1]))
    return tried


class Trial:
    """Tries numbers of workers one after the other on real pictures, and settles for one.

    `workers` is the number to work with now. `finished` counts a picture; it goes up a step when
    the present one has had its share of the time, and back when the step brought too little.
    """

    def __init__(
        self,
        steps: list[int],
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._left = steps[1:]
        self._share = seconds / len(steps)
        self._clock = clock
        self.workers = steps[0]
        self.settled = len(steps) == 1
        self.rates: dict[int, float] = {}
        """Pictures a second by number of workers."""
        self._begin()

    def finished(self) -> None:
        """Count a picture that has come out."""
        if self.settled:
            return
        self._count += 1
        now = self._clock()
        # The first were begun before, with another number of workers.
        if self._count == 2 * self.workers:
            self._since = now
        counted = self._count - 2 * self.workers
        if counted >= _LEAST_COUNTED and now - self._since >= self._share:
            self._next(counted / (now - self._since))

    def _begin(self) -> None:
        self._count, self._since = 0, self._clock()

    def _next(self, rate: float) -> None:
        self.rates[self.workers] = rate
        before = [number for number in self.rates if number < self.workers]
        if before and rate < _GAIN * self.rates[max(before)]:
            self.workers, self.settled = max(before), True
        elif self._left:
            self.workers = self._left.pop(0)
            self._begin()
        else:
            self.settled = True

    def __str__(self) -> str:
        tried = ", ".join(f"{number}: {rate:.3g}" for number, rate in self.rates.items())
        return (
            f"working on {self.workers} at a time (pictures a second with {tried}); "
            "`workers` sets it"
        )
