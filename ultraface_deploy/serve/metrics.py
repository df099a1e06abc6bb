"""The counters that Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._pictures = Counter(
            "ultraface_pictures", "Pictures of the source looked at.", registry=self._registry
        )
        self._faces_seen = Counter(
            "ultraface_faces_seen", "Faces in these pictures, summed.", registry=self._registry
        )
        self._faces = Gauge(
            "ultraface_faces", "Faces in the newest picture.", registry=self._registry
        )
        self._stages = Histogram(
            "ultraface_stage_seconds",
            "Seconds of a picture by stage.",
            ["stage"],
            buckets=[value / 1000 for value in _MS],
            registry=self._registry,
        )
        self._requests = Counter(
            "ultraface_requests",
            "Pictures sent to /v1/detect, by the status of the answer.",
            ["status"],
            registry=self._registry,
        )

    def seen(self, faces: int, stages: Mapping[str, float]) -> None:
        """Count a picture of the source."""
        self._pictures.inc()
        self._faces_seen.inc(faces)
        self._faces.set(faces)
        for name, seconds in stages.items():
            self._stages.labels(name).observe(seconds)

    def answered(self, status: int) -> None:
        """Count a picture that was sent in."""
        self._requests.labels(str(status)).inc()

    def watch(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is asked for when it is read."""
        Gauge(f"ultraface_{name}", documentation, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return them in Prometheus' text format."""
        return generate_latest(self._registry)
