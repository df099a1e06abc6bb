"""What else the machine did while samples were taken: other processes, heat, throttling."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from ultraface_deploy.bench import machine


@dataclass
class Watch:
    """Sums up the rounds of one configuration."""

    seconds: float = 0.0
    busy_cpu_seconds: float = 0.0
    own_cpu_seconds: float = 0.0
    temperatures: list[float] = field(default_factory=list)
    throttled: set[str] = field(default_factory=set)

    @contextmanager
    def round(self) -> Iterator[Watch]:
        """Watch one round; the body adds the timed child's processor time."""
        start, busy, own = time.monotonic(), _busy_seconds(), sum(os.times()[:2])
        throttles = machine.throttle_count()
        yield self
        self.seconds += time.monotonic() - start
        self.busy_cpu_seconds += _busy_seconds() - busy
        self.own_cpu_seconds += sum(os.times()[:2]) - own
        if (temperature := machine.temperature_c()) is not None:
            self.temperatures.append(temperature)
        self.throttled.update(machine.throttling())
        if machine.throttle_count() > throttles:
            self.throttled.add("throttled")

    @property
    def other_cores(self) -> float:
        """Cores that other processes kept busy, on average."""
        others = self.busy_cpu_seconds - self.own_cpu_seconds
        return max(0.0, others / self.seconds) if self.seconds else 0.0

    @staticmethod
    def summary(watches: Sequence[Watch]) -> dict[str, Any]:
        """Return what was seen over all configurations, for the record."""
        temperatures = [value for watch in watches for value in watch.temperatures]
        seconds = sum(watch.seconds for watch in watches)
        others = sum(watch.other_cores * watch.seconds for watch in watches)
        return {
            "other_processes_cores": round(others / seconds, 3) if seconds else None,
            "temperature_c": [min(temperatures), max(temperatures)] if temperatures else None,
            "throttled": sorted({name for watch in watches for name in watch.throttled}),
        }


def _busy_seconds() -> float:
    """Processor seconds that all cores spent on anything but idling, stolen time included."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
