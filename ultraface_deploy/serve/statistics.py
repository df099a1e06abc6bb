"""What the live view counts: rates and latencies of the last seconds, faces of the last hour."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from ultraface_deploy.serve.metrics import Metrics

RECENT_S = 5.0
BUCKET_S = 10.0
BUCKETS = 360
"""One hour."""
# More pictures in the last seconds than any camera gives.
_MOST_RECENT = 1000


@dataclass
class Bucket:
    """Ten seconds: `most` faces in one picture, the sum of all faces, and the pictures."""

    number: int
    most: int = 0
    faces: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class Recent:
    """The last seconds: rates, and medians of the stages in milliseconds."""

    pictures_per_second: float
    faces_per_second: float
    faces: int
    milliseconds: dict[str, float]


class Statistics:
    """Counts pictures; its size does not grow with time. Threads may share one."""

    def __init__(
        self, metrics: Metrics | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._metrics = clock, metrics
        self._alone = threading.Lock()
        self._recent: deque[tuple[float, int, Mapping[str, float]]] = deque(maxlen=_MOST_RECENT)
        self._buckets: deque[Bucket] = deque(maxlen=BUCKETS)
        self._encoding: deque[tuple[float, float]] = deque(maxlen=100)

    def add(self, faces: int, stages: Mapping[str, float]) -> None:
        """Count a picture with so many faces, and seconds by stage."""
        now = self._clock()
        with self._alone:
            self._recent.append((now, faces, stages))
            number = int(now // BUCKET_S)
            if not self._buckets or self._buckets[-1].number != number:
                self._buckets.append(Bucket(number))
            bucket = self._buckets[-1]
            bucket.most = max(bucket.most, faces)
            bucket.faces += faces
            bucket.pictures += 1
        if self._metrics is not None:
            self._metrics.seen(faces, stages)

    def encoded(self, seconds: float) -> None:
        """Count a picture that was encoded for the viewers."""
        with self._alone:
            self._encoding.append((self._clock(), seconds))

    def recent(self) -> Recent:
        """Return the rates of the last seconds; 0 where there was no picture."""
        now = self._clock()
        with self._alone:
            recent = [each for each in self._recent if now - each[0] <= RECENT_S]
            encoding = [seconds for at, seconds in self._encoding if now - at <= RECENT_S]
        if not recent:
            return Recent(0.0, 0.0, 0, {})
        # Of the first picture the time before it is unknown.
        span = max(now - recent[0][0], 1e-9)
        counted = recent[1:]
        names = recent[-1][2]
        stages = {name: median(each[2][name] for each in recent) for name in names}
        if encoding:
            stages["encode"] = median(encoding)
        return Recent(
            len(counted) / span,
            sum(faces for _, faces, _ in counted) / span,
            recent[-1][1],
            {name: round(1000 * seconds, 3) for name, seconds in stages.items()},
        )

    def hour(self) -> list[tuple[float, int, float]]:
        """Return the last hour, oldest first: seconds ago, most faces at once, mean faces."""
        now = self._clock()
        oldest = int(now // BUCKET_S) - BUCKETS
        with self._alone:
            return [
                (
                    round(now - bucket.number * BUCKET_S, 1),
                    bucket.most,
                    round(bucket.faces / bucket.pictures, 3),
                )
                for bucket in self._buckets
                if bucket.number > oldest
            ]
