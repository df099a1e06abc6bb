"""What else the machine did while samples were taken: other processes, heat, throttling."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from ultraface_deploy.bench import meters


@dataclass
class Watch:
    """Sums up the rounds of one configuration on the cores that it is pinned to."""

    cores: Sequence[int]
    seconds: float = 0.0
    busy_cpu_seconds: float = 0.0
    own_cpu_seconds: float = 0.0
    temperatures: list[float] = field(default_factory=list)
    throttled: set[str] = field(default_factory=set)
    tells_throttling: bool = False

    @contextmanager
    def round(self) -> Iterator[Watch]:
        """Watch one round; the body adds the timed child's processor time."""
        bits, throttles = meters.throttle_bits(), meters.throttle_count()
        start, busy, own = time.monotonic(), self._busy_seconds(), sum(os.times()[:2])
        yield self
        self.seconds += time.monotonic() - start
        self.busy_cpu_seconds += self._busy_seconds() - busy
        self.own_cpu_seconds += sum(os.times()[:2]) - own
        if (temperature := meters.temperature_c()) is not None:
            self.temperatures.append(temperature)
        self.throttled.update(meters.throttling(bits, meters.throttle_bits()))
        if (meters.throttle_count() or 0) > (throttles or 0):
            self.throttled.add("throttled")
        self.tells_throttling |= bits is not None or throttles is not None

    def _busy_seconds(self) -> float:
        """Processor seconds that the cores spent on anything but idling, stolen time included."""
        of_each = psutil.cpu_times(percpu=True)
        # A container may see fewer cores than there are, numbered from 0.
        chosen = [of_each[core] for core in self.cores if core < len(of_each)] or of_each
        idle = ("idle", "iowait", "guest", "guest_nice")
        return float(sum(sum(t) - sum(getattr(t, name, 0.0) for name in idle) for t in chosen))

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
            # None where the machine does not tell.
            "throttled": sorted({name for watch in watches for name in watch.throttled})
            if any(watch.tells_throttling for watch in watches)
            else None,
        }
